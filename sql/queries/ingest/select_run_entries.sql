-- The entries of a run that are in shards, each with its place.
SELECT shard_id, ordinal, entry_id
FROM run_entries
WHERE run_id = %(run_id)s AND shard_id IS NOT NULL
