SELECT * FROM champion_checks WHERE run_id = %(run_id)s
