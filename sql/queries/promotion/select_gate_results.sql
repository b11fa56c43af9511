SELECT * FROM gate_results WHERE gate_id = %(gate_id)s ORDER BY outcome, check_name
