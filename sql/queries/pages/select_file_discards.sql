SELECT who, what, why, at
FROM reporting.discards
WHERE entry_id = %(entry_id)s
ORDER BY at DESC
LIMIT %(limit)s
