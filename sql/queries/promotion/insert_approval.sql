SELECT record_approval(%(gate_id)s, %(decision)s, %(approver)s, %(reason)s, %(answered_at)s)
