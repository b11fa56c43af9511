SELECT parent, training_set, holdout, recent_set, asked_by, reason, report_id, run_id
FROM trainings
WHERE run_id = %(run_id)s
ORDER BY training_id DESC
LIMIT 1
