-- A shard without an accepted entry is not classified.
INSERT INTO batches (
    run_id, shard_id, model_version, expected, ok, failed, shard_rows, seconds, versions, device, shard_sha256, folder,
    result_sha256, loaded_at
)
SELECT run_id, shard_id, encode(sha256('champion'), 'hex'), images, images, 0, nullif(images, 0),
       CASE WHEN images > 0
            THEN jsonb_build_object('spawn', 0.4, 'import', 1.5, 'verify', 0.3, 'first_batch', 0.2,
                                    'classify', images / 500.0) ELSE '{}' END,
       '{"backend": "openvino", "precision": "f32"}', CASE WHEN images > 0 THEN 'cpu' END,
       CASE WHEN images > 0 THEN shard_id END, CASE WHEN images > 0 THEN 'runs/' || run_id || '/' || shard_id END,
       CASE WHEN images > 0 THEN shard_id END, started_at + interval '3 minutes'
FROM (
    SELECT number, shard_id, count(DISTINCT original) AS images
    FROM planned_entries
    WHERE shard_id IS NOT NULL
    GROUP BY number, shard_id
) AS counted
JOIN planned_runs USING (number)
