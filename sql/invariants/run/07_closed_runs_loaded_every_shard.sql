-- Each shard of a closed run has its batch, and each batch is of a shard of its run.
SELECT run_id, shard_id, sum(listed) AS listed, sum(loaded) AS loaded
FROM (
    SELECT DISTINCT run_entries.run_id, run_entries.shard_id, 1 AS listed, 0 AS loaded
    FROM run_entries
    JOIN closings ON closings.run_id = run_entries.run_id
    WHERE run_entries.shard_id IS NOT NULL
    UNION ALL
    SELECT batches.run_id, batches.shard_id, 0, 1
    FROM batches
    JOIN closings ON closings.run_id = batches.run_id
) AS both_sides
GROUP BY run_id, shard_id
HAVING sum(listed) <> 1 OR sum(loaded) <> 1
