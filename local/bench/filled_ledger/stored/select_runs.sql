-- The newest runs, and the newest of a large drop.
(SELECT run_id, model_version FROM runs WHERE kind = 'scheduled' ORDER BY started_at DESC LIMIT 3)
UNION
(SELECT run_id, model_version FROM runs WHERE kind = 'scheduled' ORDER BY listed DESC, started_at DESC LIMIT 1)
