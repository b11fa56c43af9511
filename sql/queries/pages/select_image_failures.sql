SELECT run_id, model_version, reason
FROM reporting.prediction_failures
WHERE image_id = %(image_id)s AND run_id = ANY(%(run_ids)s)
