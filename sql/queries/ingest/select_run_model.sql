SELECT model_version, classes
FROM runs
JOIN model_versions ON version = model_version
WHERE run_id = %(run_id)s
