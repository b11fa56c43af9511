INSERT INTO trainings (run_id, asked_by, reason, report_id, parent, training_set, holdout, gate_window)
VALUES (
    %(run_id)s, %(asked_by)s, %(reason)s, %(report_id)s, %(parent)s, %(training_set)s, %(holdout)s, %(gate_window)s
)
