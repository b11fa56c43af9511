-- Images with a label that were classified: the hour they landed, where their pixels are found (the attempt that was
-- last to classify them) and for which version they were packed, and in what datasets they are.
CREATE VIEW labelled_images AS
SELECT image_labels.image_id, label, drop_at, attempt.folder, attempt.packed_for,
       sets.kinds && ARRAY['original', 'training'] AS learnt,
       sets.kinds && ARRAY['holdout'] AS held_out,
       sets.kinds && ARRAY['recent'] AS is_recent
FROM image_labels
JOIN images USING (image_id)
JOIN entries USING (entry_id)
CROSS JOIN LATERAL (
    SELECT folder, batches.model_version AS packed_for
    FROM predictions
    JOIN batches USING (run_id, shard_id)
    WHERE predictions.image_id = image_labels.image_id AND folder IS NOT NULL
    ORDER BY predicted_at DESC
    LIMIT 1
) AS attempt
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(kind), '{}') AS kinds
    FROM dataset_images
    JOIN datasets USING (dataset_id)
    WHERE dataset_images.image_id = image_labels.image_id
) AS sets;
