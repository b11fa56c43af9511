SELECT coalesce(state, 'open') AS state, count(*)::integer AS entries
FROM run_entries
LEFT JOIN outcomes USING (entry_id)
WHERE run_entries.run_id = %(run_id)s
GROUP BY 1
