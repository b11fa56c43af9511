SELECT * FROM reporting.runs WHERE run_id = %(run_id)s
