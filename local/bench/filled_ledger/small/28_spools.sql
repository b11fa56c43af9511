INSERT INTO serving_spools (server, segment, bytes, last_sequence) VALUES ('a server', 1, 1000, %(entries)s / 100)
