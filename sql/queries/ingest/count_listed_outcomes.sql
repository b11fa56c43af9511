-- What the listing of a run settled by itself, by reason.
SELECT state, reason, count(*)::integer AS entries
FROM run_entries
JOIN outcomes USING (run_id, entry_id)
WHERE run_id = %(run_id)s AND shard_id IS NULL
GROUP BY state, reason
ORDER BY state, reason
