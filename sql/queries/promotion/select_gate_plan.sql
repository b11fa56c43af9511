SELECT gate_id, challenger, champion, holdout_set AS holdout, recent_set AS recent, requested_by
FROM gate_plans
WHERE gate_id = %(gate_id)s
