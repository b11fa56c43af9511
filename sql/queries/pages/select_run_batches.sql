-- The slowest first.
SELECT shard_id, images, device, spawn, import, verify, first_batch, classify, startup + classify AS seconds,
       images_per_second, loaded_at
FROM reporting.batches
WHERE run_id = %(run_id)s
ORDER BY startup + classify DESC NULLS LAST, shard_id
LIMIT %(limit)s
