-- What the ledger has of a run of Airflow's, as the page of a place names it; the newest. A run that was cleared has the
-- same id in Airflow, and here one of its own for each try: after a tilde.
SELECT id
FROM (
    SELECT run_id AS id, started_at AS at
    FROM reporting.runs
    WHERE %(place)s = 'runs' AND (run_id = %(run_id)s OR starts_with(run_id, %(run_id)s || '~'))
    UNION ALL
    SELECT report_id::text, made_at FROM reporting.drift WHERE %(place)s = 'drift' AND run_id = %(run_id)s
    UNION ALL
    SELECT challenger, made_at FROM reporting.gates WHERE %(place)s = 'models' AND gate_id = %(run_id)s
    UNION ALL
    SELECT version, since FROM reporting.champions WHERE %(place)s = 'models' AND run_id = %(run_id)s
    UNION ALL
    SELECT version, registered_at
    FROM reporting.model_lineage
    JOIN reporting.model_versions USING (version)
    WHERE %(place)s = 'models' AND run_id = %(run_id)s AND trained_here
) AS pages
ORDER BY at DESC
LIMIT 1
