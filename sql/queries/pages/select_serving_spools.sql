-- How far what serving processes answered is recorded, the latest first.
SELECT server, last_sequence, refused_lines, loaded_at, complete_at
FROM reporting.serving_spools
ORDER BY loaded_at DESC, server
LIMIT %(limit)s
