INSERT INTO shards (shard_id, entries)
SELECT encode(sha256(convert_to('second ' || number, 'UTF8')), 'hex'), count(*)
FROM planned_entries
WHERE number %% 50 = 2 AND state = 'ingested'
GROUP BY number
