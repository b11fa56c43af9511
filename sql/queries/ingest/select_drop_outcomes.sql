SELECT name, state, reason
FROM entries
LEFT JOIN outcomes USING (entry_id)
WHERE drop_at = %(drop_at)s
