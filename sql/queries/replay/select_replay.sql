SELECT * FROM replays WHERE run_id = %(run_id)s
