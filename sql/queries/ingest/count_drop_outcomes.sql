SELECT coalesce(state, 'open') AS state, reason, count(*)::integer AS entries
FROM entries
LEFT JOIN outcomes USING (entry_id)
WHERE drop_at = %(drop_at)s
GROUP BY state, reason
ORDER BY state, entries DESC, reason
