SELECT shard_id, count(*)::integer AS entries
FROM run_entries
WHERE run_id = %(run_id)s AND shard_id IS NOT NULL
GROUP BY shard_id
ORDER BY shard_id
