-- Versions beside the champion over HTTP, the one that is on first.
SELECT rollout_id, model, version, champion, state, share, who, why, asked_by, started_at, stepped_at, ended_at, pictures
FROM reporting.rollouts
ORDER BY ended_at DESC NULLS FIRST, started_at DESC
LIMIT %(limit)s
