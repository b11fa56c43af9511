SELECT source, listed, ingested, duplicates, quarantined, rejected, vanished, open
FROM reporting.run_sources
WHERE run_id = %(run_id)s
ORDER BY listed DESC, source
LIMIT %(limit)s
