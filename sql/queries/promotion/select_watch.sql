SELECT * FROM watches WHERE run_id = %(run_id)s
