SELECT ask_rollout(%(rollout_id)s, %(by)s, %(why)s)
