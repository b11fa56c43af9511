-- Of all names that begin so; `path` is looked for in those alone.
SELECT entry_id, fname, name_start AS key, source, drop_at, size, listed_at, state, reason, image_id
FROM reporting.files
WHERE name_start >= lower(%(name)s) AND name_start < lower(%(name)s) || chr(1114111)
  AND (name_start, entry_id) > (%(after_key)s, %(after)s)
  AND position(lower(%(path)s) IN lower(fname)) > 0
ORDER BY name_start, entry_id
LIMIT %(limit)s
