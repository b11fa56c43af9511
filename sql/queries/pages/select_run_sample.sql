SELECT image_id, entry_id, label, confidence
FROM reporting.image_predictions
WHERE run_id = %(run_id)s
LIMIT %(limit)s
