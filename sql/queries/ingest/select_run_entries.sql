-- The entries of each shard of a run, by ordinal.
SELECT shard_id, array_agg(ordinal) AS ordinals, array_agg(entry_id) AS entry_ids
FROM run_entries
WHERE run_id = %(run_id)s AND shard_id IS NOT NULL
GROUP BY shard_id
