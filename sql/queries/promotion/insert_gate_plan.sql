INSERT INTO gate_plans (gate_id, challenger, champion, holdout_set, recent_set, requested_by)
VALUES (%(gate_id)s, %(challenger)s, %(champion)s, %(holdout)s, %(recent)s, %(requested_by)s)
ON CONFLICT (gate_id) DO NOTHING
