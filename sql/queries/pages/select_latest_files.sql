SELECT entry_id, fname, name_start AS key, source, drop_at, size, listed_at, state, reason, image_id
FROM reporting.files
WHERE entry_id < %(before)s
ORDER BY entry_id DESC
LIMIT %(limit)s
