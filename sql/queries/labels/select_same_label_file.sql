-- The file of this name and content that was loaded, if nothing of that name came after it, and each of its rows counts
-- or still waits. What had rejections may come again.
SELECT loaded.file_id
FROM (
    SELECT coalesce(same_as, file_id) AS file_id, sha256
    FROM label_files
    WHERE sha256(name) = sha256(%(name)s) AND state <> 'refused'
    ORDER BY label_files.file_id DESC
    LIMIT 1
) AS last
JOIN label_files AS loaded ON loaded.file_id = last.file_id
WHERE last.sha256 = %(sha256)s
  AND loaded.rejected = 0
  AND NOT EXISTS (
      SELECT FROM label_wait_ends WHERE label_wait_ends.file_id = loaded.file_id AND label_wait_ends.state = 'rejected'
  )
