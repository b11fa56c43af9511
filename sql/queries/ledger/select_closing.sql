SELECT listed, ingested, duplicates, quarantined, rejected, vanished, classified, failed
FROM closings
WHERE run_id = %(run_id)s
