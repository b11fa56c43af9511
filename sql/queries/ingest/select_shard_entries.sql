-- What a shard's manifest lists, in its order.
SELECT ordinal AS entry, name, version
FROM run_entries
JOIN entries USING (entry_id)
WHERE run_id = %(run_id)s AND shard_id = %(shard_id)s
ORDER BY ordinal
