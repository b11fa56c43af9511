-- The totals of a batch are its rows: accepted images expected, predicted and failed. An image of several shards counts
-- in each of them.
SELECT batches.run_id, batches.shard_id, expected, ok, failed, expected_found, ok_found, failed_found
FROM batches
LEFT JOIN (
    SELECT run_id, shard_id,
           count(*) AS expected_found,
           count(*) FILTER (WHERE failure IS NULL AND predicted_by IS NOT NULL) AS ok_found,
           count(*) FILTER (WHERE failure IS NOT NULL) AS failed_found
    FROM run_images
    GROUP BY run_id, shard_id
) AS found ON found.run_id = batches.run_id AND found.shard_id = batches.shard_id
WHERE expected <> ok + failed
   OR (expected, ok, failed) <> (coalesce(expected_found, 0), coalesce(ok_found, 0), coalesce(failed_found, 0))
