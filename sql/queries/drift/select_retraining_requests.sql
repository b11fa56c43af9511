SELECT max(made_at) AS latest, count(*) FILTER (WHERE made_at > now() - interval '7 days') AS of_the_week, now() AS now
FROM drift_reports
WHERE action = 'retrain' AND held_back IS NULL
