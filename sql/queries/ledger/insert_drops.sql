INSERT INTO drops (drop_at) SELECT DISTINCT drop_at FROM staged_entries ON CONFLICT DO NOTHING
