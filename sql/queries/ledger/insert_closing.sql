INSERT INTO closings (
    run_id, listed, ingested, duplicates, quarantined, rejected, vanished, classified, failed
)
SELECT %(run_id)s,
       count(*),
       count(*) FILTER (WHERE state = 'ingested'),
       count(*) FILTER (WHERE state = 'duplicate'),
       count(*) FILTER (WHERE state = 'quarantined'),
       count(*) FILTER (WHERE state = 'rejected'),
       count(*) FILTER (WHERE state = 'vanished'),
       count(DISTINCT image_id) - (SELECT count(*) FROM prediction_failures WHERE run_id = %(run_id)s),
       (SELECT count(*) FROM prediction_failures WHERE run_id = %(run_id)s)
FROM run_entries
LEFT JOIN outcomes USING (entry_id)
WHERE run_entries.run_id = %(run_id)s
ON CONFLICT (run_id) DO NOTHING
