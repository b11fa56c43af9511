-- A run accounts for every file it saw, and for every entry it listed there is a row.
SELECT runs.run_id, files_seen, known, deferred, listed, count(run_entries.run_id) AS entries
FROM runs
LEFT JOIN run_entries ON run_entries.run_id = runs.run_id
GROUP BY runs.run_id
HAVING listed <> count(run_entries.run_id) OR files_seen <> known + deferred + listed
