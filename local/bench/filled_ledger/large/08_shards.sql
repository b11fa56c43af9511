INSERT INTO shards (shard_id, entries)
SELECT shard_id, count(*) FROM planned_entries WHERE shard_id IS NOT NULL GROUP BY shard_id
