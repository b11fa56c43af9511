-- A run pins one model version, and all its results are by that one.
SELECT results.run_id, shard_id, image_id, runs.model_version AS pinned, results.model_version AS found
FROM (
    SELECT run_id, shard_id, NULL AS image_id, model_version FROM batches
    UNION ALL
    SELECT run_id, shard_id, image_id, model_version FROM predictions
    UNION ALL
    SELECT run_id, shard_id, image_id, model_version FROM prediction_failures
) AS results
JOIN runs ON runs.run_id = results.run_id
WHERE results.model_version <> runs.model_version
