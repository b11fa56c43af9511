INSERT INTO run_entries (run_id, entry_id, shard_id, ordinal)
SELECT replace(run_id, 'scheduled', 'backfill'), entry_id, encode(sha256(convert_to('second ' || number, 'UTF8')), 'hex'),
       row_number() OVER (PARTITION BY number ORDER BY entry_id) - 1
FROM planned_entries
JOIN planned_runs USING (number)
WHERE number %% 50 = 2 AND state = 'ingested'
