-- By when the books closed, which is when the results could be read; every hour up to now.
SELECT hour, coalesce(sum(classified), 0)::bigint AS classified, coalesce(sum(failed), 0)::bigint AS failed
FROM generate_series(
    date_trunc('hour', now()) - make_interval(hours => %(hours)s - 1), date_trunc('hour', now()), '1 hour'
) AS hour
LEFT JOIN reporting.runs ON closed_at >= hour AND closed_at < hour + interval '1 hour'
GROUP BY hour
ORDER BY hour
