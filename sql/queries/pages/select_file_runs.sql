SELECT run_id, kind, interval_start, started_at, shard_id
FROM reporting.file_runs
WHERE entry_id = %(entry_id)s
ORDER BY started_at
LIMIT %(limit)s
