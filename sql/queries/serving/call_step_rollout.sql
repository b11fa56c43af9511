SELECT step_rollout(%(rollout_id)s, %(number)s, %(share)s, %(by)s, %(why)s)
