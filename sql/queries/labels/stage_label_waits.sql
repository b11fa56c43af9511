-- The rows of a file that still wait, to be judged again.
INSERT INTO staged_labels (
    line, image_id, entry_id, drop_at, path, path_shown, places, label, labeller, labelled_at, shown
)
SELECT line, image_id, entry_id, drop_at, path, path_shown, places, label, labeller, labelled_at, shown
FROM label_waits
WHERE file_id = %(file_id)s
  AND NOT EXISTS (
      SELECT
      FROM label_wait_ends
      WHERE (label_wait_ends.file_id, label_wait_ends.line) = (label_waits.file_id, label_waits.line)
  )
