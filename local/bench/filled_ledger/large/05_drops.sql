INSERT INTO drops (source, drop_at, drop_end)
SELECT DISTINCT source, since, since + interval '1 hour'
FROM planned_entries
JOIN planned_runs USING (number)
