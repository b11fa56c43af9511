-- A page of the verdicts that stand, the newest first: which ones, before what their reports say is looked into.
SELECT report_id, window_start, window_end, model, model_version, action, enough, sentence, held_back, live,
       images, compared, labelled, near_duplicates,
       label_shift, label_shift_distance, label_shift_distance_low, label_shift_distance_high, label_shift_p_value,
       embedding_drift, embedding_drift_distance, embedding_drift_p_value, alpha,
       accuracy_fell, expected_accuracy, estimated_accuracy, estimated_accuracy_low, estimated_accuracy_high,
       realized_accuracy, realized_accuracy_low, realized_accuracy_high, folder, made_at
FROM reporting.drift
WHERE report_id IN (
    SELECT report_id
    FROM reporting.drift
    WHERE latest
      AND (%(version)s::text IS NULL OR model_version = %(version)s)
      AND (%(action)s::text IS NULL OR action = %(action)s)
      AND (images > 0 OR NOT %(with_images)s)
      AND (%(before)s::bigint IS NULL OR (window_end, report_id) < (
          SELECT window_end, report_id FROM reporting.drift WHERE report_id = %(before)s
      ))
    ORDER BY window_end DESC, report_id DESC
    LIMIT %(limit)s
)
ORDER BY window_end DESC, report_id DESC
