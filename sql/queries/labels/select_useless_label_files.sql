-- Files of which a run of ingest_labels could use nothing, or which it gave up to wait for, unless their name has come
-- again since and said something.
SELECT fname, state, reason, detail, rows_read, reasons
FROM reporting.label_files AS file
WHERE (
        run_id = %(run_id)s
        OR EXISTS (
            SELECT
            FROM label_wait_ends
            WHERE label_wait_ends.file_id = file.file_id AND label_wait_ends.run_id = %(run_id)s
        )
    )
  AND (state = 'refused' AND reason <> 'SIDECAR' OR state = 'loaded' AND accepted + known + waiting = 0)
  AND NOT EXISTS (
      SELECT
      FROM reporting.label_files AS later
      WHERE later.fname = file.fname AND later.file_id > file.file_id
        AND (later.state = 'known' OR later.accepted + later.known + later.waiting > 0)
  )
ORDER BY file_id
