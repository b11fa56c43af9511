INSERT INTO runs (
    run_id, kind, interval_start, interval_end, model_version, files_seen, known, deferred, listed, started_at
)
SELECT run_id, 'scheduled', since, since + interval '1 hour', encode(sha256('champion'), 'hex'), entries, 0, 0, entries,
       started_at
FROM planned_runs
