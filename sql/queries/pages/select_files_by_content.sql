SELECT entry_id, fname, contents.sha256 AS key, source, drop_at, size, listed_at, state, reason, image_id
FROM reporting.contents
JOIN reporting.files USING (entry_id)
WHERE (contents.sha256, entry_id) > (greatest(%(after_key)s, %(name)s COLLATE "C"), %(after)s)
  AND contents.sha256 < %(name)s || 'g'
ORDER BY contents.sha256, entry_id
LIMIT %(limit)s
