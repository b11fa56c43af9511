-- The totals of a batch are its rows: the images accepted in its shard, and those of them that failed in its run. An
-- image of several shards counts in each. That all others are predicted is for the closed runs to prove.
SELECT batches.run_id, batches.shard_id, expected, ok, failed, images_found, failures_found
FROM batches
LEFT JOIN (
    SELECT run_images.run_id, run_images.shard_id,
           count(*) AS images_found, count(prediction_failures.image_id) AS failures_found
    FROM run_images
    LEFT JOIN prediction_failures
        ON prediction_failures.run_id = run_images.run_id AND prediction_failures.image_id = run_images.image_id
    GROUP BY run_images.run_id, run_images.shard_id
) AS found ON found.run_id = batches.run_id AND found.shard_id = batches.shard_id
WHERE expected <> ok + failed
   OR expected <> coalesce(images_found, 0)
   OR failed <> coalesce(failures_found, 0)
