SELECT * FROM approvals WHERE gate_id = %(gate_id)s
