-- Of all names that begin so; `path` is looked for in those alone. One lower bound, not two: Postgres would begin at the
-- lower one, and pass over all names up to the other.
SELECT entry_id, fname, name_start AS key, source, drop_at, size, listed_at, state, reason, image_id
FROM reporting.files
WHERE (name_start, entry_id) > (greatest(%(after_key)s, lower(%(name)s) COLLATE "C"), %(after)s)
  AND name_start < lower(%(name)s) || chr(1114111)
  AND position(lower(%(path)s) IN lower(fname)) > 0
ORDER BY name_start, entry_id
LIMIT %(limit)s
