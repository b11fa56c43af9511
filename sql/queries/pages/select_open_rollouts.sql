-- Rollouts that ask for their approval: one at the most.
SELECT rollout_id, model, version, share, asked_by, stepped_at
FROM reporting.rollouts
WHERE ended_at IS NULL AND state = 'asked for approval'
