INSERT INTO run_entries (run_id, entry_id, shard_id, ordinal)
SELECT %(run_id)s, entry_id, shard_id, ordinal
FROM staged_entries
JOIN entries USING (drop_at, name, version)
