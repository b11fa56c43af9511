SELECT DISTINCT folder, result_sha256, shard_sha256
FROM batches
WHERE folder = ANY(%(folders)s)
ORDER BY folder
