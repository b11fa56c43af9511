-- The history of champions has no gap and no overlap, and the last one is champion still.
SELECT version, period, next_period
FROM (
    SELECT version, period, lead(period) OVER (ORDER BY lower(period), upper(period)) AS next_period FROM champions
) AS history
WHERE upper(period) IS DISTINCT FROM lower(next_period)
