INSERT INTO drops (source, drop_at, drop_end)
SELECT DISTINCT source, drop_at, drop_at + %(length)s::interval
FROM staged_entries
ON CONFLICT DO NOTHING
