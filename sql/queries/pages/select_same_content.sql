SELECT entry_id, fname, drop_at, listed_at, state, reason
FROM reporting.contents
JOIN reporting.files USING (entry_id)
WHERE contents.sha256 = %(sha256)s AND entry_id <> %(entry_id)s
LIMIT %(limit)s
