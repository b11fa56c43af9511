INSERT INTO closings (
    run_id, closed_at, listed, ingested, duplicates, quarantined, rejected, vanished, classified, failed
)
SELECT run_id, started_at + interval '4 minutes', count(*), count(*) FILTER (WHERE state = 'ingested'),
       count(*) FILTER (WHERE state = 'duplicate'), count(*) FILTER (WHERE state = 'quarantined'),
       count(*) FILTER (WHERE state = 'rejected'), count(*) FILTER (WHERE state = 'vanished'), count(DISTINCT original), 0
FROM planned_entries
JOIN planned_runs USING (number)
GROUP BY run_id, started_at
