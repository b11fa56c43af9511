SELECT entry_id, fname, contents.sha256 AS key, source, drop_at, size, listed_at, state, reason, image_id
FROM reporting.contents
JOIN reporting.files USING (entry_id)
WHERE contents.sha256 >= %(name)s AND contents.sha256 < %(name)s || 'g'
  AND (contents.sha256, entry_id) > (%(after_key)s, %(after)s)
ORDER BY contents.sha256, entry_id
LIMIT %(limit)s
