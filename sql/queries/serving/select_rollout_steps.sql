SELECT number, what, version, champion, share, who, why, at
FROM rollout_steps
WHERE rollout_id = %(rollout_id)s
ORDER BY number
