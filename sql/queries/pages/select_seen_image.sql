-- As the version that was last to classify it saw it, or as this one did.
SELECT image_id, fname, drop_at, path_label, label, confidence, correct, model_version
FROM reporting.predictions
WHERE image_id = %(image_id)s AND (%(version)s::text IS NULL OR model_version = %(version)s)
ORDER BY predicted_at DESC
LIMIT 1
