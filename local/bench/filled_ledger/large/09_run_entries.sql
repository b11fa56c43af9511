INSERT INTO run_entries (run_id, entry_id, shard_id, ordinal)
SELECT run_id, entry_id, shard_id, CASE WHEN shard_id IS NOT NULL THEN ordinal %% %(shard)s END
FROM planned_entries
JOIN planned_runs USING (number)
ORDER BY entry_id
