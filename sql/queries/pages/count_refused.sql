-- Of so many hours, to be looked at. Counted to a thousand: people need to know that there are many.
SELECT count(*) AS files
FROM (
    SELECT
    FROM reporting.quarantine
    WHERE recorded_at > now() - make_interval(hours => %(hours)s) AND state <> 'vanished' AND NOT discarded
    LIMIT 1000
) AS refused
