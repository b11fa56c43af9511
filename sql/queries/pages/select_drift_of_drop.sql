-- Of windows in which the drop was compared.
SELECT report_id, folder, model, model_version, window_start, window_end, action, sentence, made_at
FROM reporting.drift
WHERE latest AND window_start <= %(drop_at)s AND window_end > %(drop_at)s
ORDER BY window_end DESC, made_at DESC
LIMIT %(limit)s
