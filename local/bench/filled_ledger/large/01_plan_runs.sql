-- Runs one after the other up to now, every second hour; one of a hundred is of a drop that is sixteen times as large.
CREATE UNLOGGED TABLE planned_runs AS
SELECT number, 'scheduled__' || to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"+00:00"') AS run_id, since,
       since + interval '65 minutes' AS started_at,
       (before * %(entries)s / weights)::bigint AS entries_before,
       (before + weight) * %(entries)s / weights - before * %(entries)s / weights AS entries
FROM (
    SELECT number, since, weight, sum(weight) OVER (ORDER BY number) - weight AS before, sum(weight) OVER () AS weights
    FROM generate_series(1, %(runs)s::integer) AS number
    CROSS JOIN LATERAL (
        SELECT date_trunc('hour', now()) - (%(runs)s + 1 - number) * interval '2 hours' AS since,
               CASE WHEN number %% 100 = 50 THEN 16 ELSE 1 END AS weight
    ) AS drop
) AS weighted
