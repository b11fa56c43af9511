INSERT INTO gates (
    gate_id, challenger, champion, holdout_set, recent_set, checks, outcome, sentence, rules, folder, html_sha256,
    requested_by, approvers, answer_by
)
VALUES (
    %(gate_id)s, %(challenger)s, %(champion)s, %(holdout_set)s, %(recent_set)s, %(checks)s, %(outcome)s, %(sentence)s,
    %(rules)s, %(folder)s, %(html_sha256)s, %(requested_by)s, %(approvers)s, %(answer_by)s
)
ON CONFLICT (gate_id) DO NOTHING
