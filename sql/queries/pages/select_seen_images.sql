SELECT image_id, fname, drop_at, path_label, label, confidence, correct
FROM reporting.predictions
WHERE image_id = ANY(%(image_ids)s) AND model_version = %(version)s
