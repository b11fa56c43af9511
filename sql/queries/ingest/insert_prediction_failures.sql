INSERT INTO prediction_failures (run_id, image_id, model_version, shard_id, reason)
SELECT %(run_id)s, image_id, %(model_version)s, shard_id, reason
FROM resolved_images
WHERE status = 'failed' AND rank = 1
