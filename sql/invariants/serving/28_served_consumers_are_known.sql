-- Whoever was answered, or gave a label, had been let in, or had no token.
SELECT consumer, sum(lines) AS lines
FROM (
    SELECT consumer, count(*) AS lines FROM served_predictions GROUP BY consumer
    UNION ALL
    SELECT consumer, count(*) FROM served_feedback GROUP BY consumer
) AS asking
WHERE consumer <> 'anonymous'
  AND NOT EXISTS (SELECT FROM consumer_steps WHERE name = consumer AND what = 'created')
GROUP BY consumer
