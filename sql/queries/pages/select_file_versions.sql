-- The same path in the same drop: a file that changed, was uploaded again, or was released.
SELECT entry_id, version, size, listed_at, state, reason
FROM reporting.files
WHERE drop_at = %(drop_at)s AND path_sha256 = %(path_sha256)s AND entry_id <> %(entry_id)s
ORDER BY entry_id DESC
LIMIT %(limit)s
