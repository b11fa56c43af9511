INSERT INTO trainings (run_id, asked_by, reason, report_id, parent, training_set, holdout, recent_set)
VALUES (
    %(run_id)s, %(asked_by)s, %(reason)s, %(report_id)s, %(parent)s, %(training_set)s, %(holdout)s, %(recent_set)s
)
