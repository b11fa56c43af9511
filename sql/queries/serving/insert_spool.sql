INSERT INTO serving_spools (server) VALUES (%(server)s) ON CONFLICT (server) DO NOTHING
