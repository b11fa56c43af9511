SELECT version, lower(period) AS since,
       (SELECT version FROM champions AS earlier WHERE upper(earlier.period) = lower(champions.period)) AS replaces
FROM champions
WHERE run_id = %(run_id)s
