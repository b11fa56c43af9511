SELECT start_rollout(%(rollout_id)s, %(version)s, %(share)s, %(by)s, %(why)s)
