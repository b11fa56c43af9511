-- The slowest first.
SELECT shard_id, images, device, spawn, import, verify, first_batch, classify, images_per_second, loaded_at,
       coalesce(spawn, 0) + coalesce(import, 0) + coalesce(verify, 0) + coalesce(first_batch, 0) + coalesce(classify, 0)
           AS seconds
FROM reporting.batches
WHERE run_id = %(run_id)s
ORDER BY seconds DESC, shard_id
LIMIT %(limit)s
