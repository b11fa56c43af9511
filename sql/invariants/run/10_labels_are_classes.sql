-- A predicted label is one of its model's classes.
SELECT run_id, image_id, model_version, label
FROM predictions
JOIN model_versions ON version = model_version
WHERE label <> ALL (classes)
