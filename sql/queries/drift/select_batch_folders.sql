SELECT run_id, shard_id, folder, shard_sha256, result_sha256
FROM batches
WHERE (run_id, shard_id) IN (SELECT * FROM unnest(%(run_ids)s::text[], %(shard_ids)s::text[]))
