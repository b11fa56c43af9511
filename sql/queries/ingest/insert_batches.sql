INSERT INTO batches (
    run_id, shard_id, model_version, expected, ok, failed, shard_rows, missing, replaced,
    seconds, versions, device, shard_sha256, image_digest, folder, result_sha256
)
SELECT %(run_id)s, shard_id, %(model_version)s,
       coalesce(expected, 0), coalesce(expected - failed, 0), coalesce(failed, 0),
       shard_rows, coalesce(missing, 0), coalesce(replaced, 0),
       coalesce(seconds, '{}'), coalesce(versions, '{}'), device, shard_sha256, image_digest, folder, result_sha256
FROM (SELECT DISTINCT shard_id FROM staged_outcomes) AS run_shards
LEFT JOIN staged_batches USING (shard_id)
LEFT JOIN (
    SELECT shard_id, count(*) AS expected, count(*) FILTER (WHERE status IN ('failed', 'failed before')) AS failed
    FROM resolved_images
    GROUP BY shard_id
) AS settled USING (shard_id)
LEFT JOIN (
    SELECT shard_id, count(*) FILTER (WHERE NOT found) AS missing, count(*) FILTER (WHERE NOT recorded) AS replaced
    FROM (
        SELECT shard_id, content, bool_or(found) AS found, bool_or(recorded) AS recorded
        FROM (
            SELECT shard_id, image_id AS content, true AS found, false AS recorded FROM staged_predictions
            UNION ALL
            SELECT shard_id, sha256, false, true
            FROM staged_outcomes
            JOIN outcomes USING (entry_id)
            WHERE outcomes.decoded AND shard_id IN (SELECT shard_id FROM staged_batches)
        ) AS both_sides
        GROUP BY shard_id, content
    ) AS contents
    GROUP BY shard_id
) AS differences USING (shard_id)
ON CONFLICT (run_id, shard_id) DO NOTHING
