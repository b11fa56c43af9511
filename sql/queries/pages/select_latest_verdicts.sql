-- Of windows that had images, and of reports that no other replaces: which ones, before what they say is looked into.
SELECT report_id, folder, window_start, window_end, model, action, sentence, images, estimated_accuracy,
       estimated_accuracy_low, estimated_accuracy_high, realized_accuracy, labelled, made_at
FROM reporting.drift
WHERE report_id IN (
    SELECT report_id
    FROM reporting.drift
    WHERE latest AND images > 0
    ORDER BY window_end DESC, made_at DESC
    LIMIT %(limit)s
)
ORDER BY window_end DESC, made_at DESC
