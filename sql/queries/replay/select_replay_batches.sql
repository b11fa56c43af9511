SELECT run_id, shard_id, model_version, folder, shard_sha256, result_sha256, versions, device, image_digest
FROM batches
WHERE (run_id, shard_id) IN (SELECT * FROM unnest(%(run_ids)s::text[], %(shard_ids)s::text[]))
