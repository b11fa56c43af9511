-- The same image and model version give the same probabilities, in all shards and in earlier runs.
SELECT image_id, model_version, predictions.run_id, shard_id,
       predictions.probabilities AS recorded, staged.probabilities AS found
FROM resolved_images
JOIN (SELECT shard_id, image_id, probabilities FROM staged_predictions) AS staged USING (shard_id, image_id)
JOIN (
    SELECT image_id, model_version, probabilities, run_id FROM predictions WHERE model_version = %(model_version)s
) AS predictions USING (image_id)
WHERE (status = 'known' OR rank > 1) AND staged.probabilities IS NOT NULL
  AND EXISTS (
      SELECT
      FROM unnest(staged.probabilities, predictions.probabilities) AS pair (found, recorded)
      WHERE (abs(found - recorded) <= 0.001) IS NOT TRUE
  )
LIMIT 5
