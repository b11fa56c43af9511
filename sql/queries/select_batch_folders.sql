SELECT run_id, shard_id, folder
FROM batches
WHERE (run_id, shard_id) IN (SELECT * FROM unnest(%(run_ids)s::text[], %(shard_ids)s::text[]))
