SELECT gate_id, challenger, champion, holdout_set AS holdout, window_set AS window, requested_by
FROM gate_plans
WHERE gate_id = %(gate_id)s
