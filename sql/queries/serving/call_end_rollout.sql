SELECT end_rollout(%(rollout_id)s, %(what)s, %(by)s, %(why)s) AS was_on
