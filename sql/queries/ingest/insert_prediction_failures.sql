INSERT INTO prediction_failures (run_id, image_id, model_version, shard_id, reason)
SELECT %(run_id)s, image_id, %(model_version)s, shard_id, reason
FROM settled_images
WHERE verdict = 'failed' AND turn = 1
