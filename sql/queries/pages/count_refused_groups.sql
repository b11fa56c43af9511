-- Of the latest so many that nobody has discarded: the work is bounded, however much was ever refused.
SELECT state, reason, source, folder, count(*) AS files, count(DISTINCT drop_at) AS periods,
       min(drop_at) AS first_period, max(drop_at) AS last_period, max(recorded_at) AS last_at
FROM (
    SELECT *
    FROM reporting.quarantine
    WHERE NOT discarded
    ORDER BY recorded_at DESC, entry_id DESC
    LIMIT %(latest)s
) AS refused
GROUP BY state, reason, source, folder
ORDER BY files DESC, last_at DESC
LIMIT %(limit)s
