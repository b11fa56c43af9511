-- The files of which rows wait, the first first; and whether they have waited for long enough.
SELECT file_id, display_name, recorded_at + make_interval(secs => %(patience)s) <= now() AS late
FROM label_files
WHERE waiting > 0
  AND waiting > (SELECT count(*) FROM label_wait_ends WHERE label_wait_ends.file_id = label_files.file_id)
ORDER BY file_id
