-- The newest first; of one version, or of all.
SELECT version, model, since, until, promoted_by, reason, cause, gate_id, run_id
FROM reporting.champions
WHERE %(version)s::text IS NULL OR version = %(version)s
ORDER BY since DESC
