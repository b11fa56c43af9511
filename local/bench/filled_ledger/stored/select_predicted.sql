SELECT shard_id, array_agg(image_id ORDER BY image_id) AS images
FROM predictions
WHERE run_id = %(run_id)s
GROUP BY shard_id
