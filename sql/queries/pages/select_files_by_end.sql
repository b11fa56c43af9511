-- As by start, with names back to front.
SELECT entry_id, fname, name_end AS key, source, drop_at, size, listed_at, state, reason, image_id
FROM reporting.files
WHERE (name_end, entry_id) > (greatest(%(after_key)s, reverse(lower(%(name)s)) COLLATE "C"), %(after)s)
  AND name_end < reverse(lower(%(name)s)) || chr(1114111)
  AND position(lower(%(path)s) IN lower(fname)) > 0
ORDER BY name_end, entry_id
LIMIT %(limit)s
