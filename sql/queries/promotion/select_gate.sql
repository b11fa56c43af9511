SELECT * FROM gates WHERE gate_id = %(gate_id)s
