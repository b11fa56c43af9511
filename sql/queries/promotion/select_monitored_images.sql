-- Labelled images that a version classified since then, backfills left out; in the order of their hashes, at most so
-- many. Without those that people were asked about because it was unsure of them: they would make it look bad.
SELECT image_id, image_labels.label AS truth, predictions.label AS predicted, folder
FROM predictions
JOIN runs USING (run_id, model_version)
JOIN batches USING (run_id, shard_id, model_version)
JOIN image_labels USING (image_id)
WHERE predictions.model_version = %(version)s
  AND predicted_at >= %(promoted_at)s
  AND kind <> 'backfill'
  AND folder IS NOT NULL
  AND image_labels.label = ANY (SELECT unnest(classes) FROM model_versions WHERE version = %(version)s)
  AND NOT EXISTS (
      SELECT FROM audit_images WHERE audit_images.image_id = predictions.image_id AND chosen = 'uncertain'
  )
ORDER BY image_id
LIMIT %(rows)s
