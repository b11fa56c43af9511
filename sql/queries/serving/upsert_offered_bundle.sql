INSERT INTO offered_bundles (version, problem)
VALUES (%(version)s, %(problem)s)
ON CONFLICT (version) DO UPDATE
SET problem = EXCLUDED.problem, since = clock_timestamp()
WHERE offered_bundles.problem IS DISTINCT FROM EXCLUDED.problem
