-- The challenger classifies the images of one drop of fifty again: as runs of a backfill, one shard each.
INSERT INTO runs (
    run_id, kind, interval_start, interval_end, model_version, files_seen, known, deferred, listed, started_at
)
SELECT replace(run_id, 'scheduled', 'backfill'), 'backfill', since, since + interval '1 hour',
       encode(sha256('challenger'), 'hex'), entries, entries - count(*), 0, count(*), started_at + interval '30 minutes'
FROM planned_entries
JOIN planned_runs USING (number)
WHERE number %% 50 = 2 AND state = 'ingested'
GROUP BY run_id, since, entries, started_at
