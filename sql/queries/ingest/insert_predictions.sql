INSERT INTO predictions (image_id, model_version, label, confidence, probabilities, run_id, shard_id)
SELECT image_id, %(model_version)s, label, confidence, probabilities, %(run_id)s, shard_id
FROM resolved_images
JOIN staged_predictions USING (shard_id, image_id)
WHERE status = 'classified' AND rank = 1
ORDER BY image_id
