-- The last step of the rollout that is on, and where the bundle lies of its version.
SELECT rollout_id, number, what, version, champion, share, who, bundle
FROM current_rollout()
JOIN model_versions USING (version)
