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
       (SELECT count(DISTINCT image_id) FROM run_images WHERE run_id = %(run_id)s AND failure IS NULL),
       (SELECT count(DISTINCT image_id) FROM run_images WHERE run_id = %(run_id)s AND failure IS NOT NULL)
FROM run_entries
LEFT JOIN outcomes USING (entry_id)
WHERE run_entries.run_id = %(run_id)s
ON CONFLICT (run_id) DO NOTHING
