-- Of each run, people are asked about twenty images.
INSERT INTO audit_samples (run_id, seed, population, random, uncertain, chosen_at)
SELECT run_id, run_id, classified, 20, 0, started_at + interval '4 minutes'
FROM planned_runs
JOIN closings USING (run_id)
