SELECT answer_rollout(%(rollout_id)s, %(answer)s, %(by)s, %(why)s)
