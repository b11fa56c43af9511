UPDATE serving_spools
SET segment = %(segment)s, bytes = %(bytes)s, last_sequence = %(last_sequence)s, loaded_at = clock_timestamp()
WHERE server = %(server)s
