-- A run has results of nothing but the images that it accepted, each in its shard.
SELECT run_id, shard_id, image_id
FROM (
    SELECT run_id, shard_id, image_id FROM predictions
    UNION ALL
    SELECT run_id, shard_id, image_id FROM prediction_failures
) AS results
WHERE NOT EXISTS (
    SELECT
    FROM run_entries
    JOIN outcomes ON outcomes.entry_id = run_entries.entry_id
    WHERE run_entries.run_id = results.run_id
      AND run_entries.shard_id = results.shard_id
      AND outcomes.image_id = results.image_id
)
