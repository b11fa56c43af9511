SELECT decide(%(gate_id)s, %(decision)s, %(approver)s, %(reason)s, %(answered_at)s)
