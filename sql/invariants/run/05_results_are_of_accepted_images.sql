-- A run has results of nothing but the images that it accepted, each in its shard.
SELECT run_id, shard_id, image_id
FROM (
    SELECT run_id, shard_id, image_id, false AS accepted FROM predictions
    UNION ALL
    SELECT run_id, shard_id, image_id, false FROM prediction_failures
    UNION ALL
    SELECT run_entries.run_id, run_entries.shard_id, outcomes.image_id, true
    FROM run_entries
    JOIN outcomes ON outcomes.entry_id = run_entries.entry_id
    WHERE outcomes.image_id IS NOT NULL
) AS results_and_images
GROUP BY run_id, shard_id, image_id
HAVING NOT bool_or(accepted)
