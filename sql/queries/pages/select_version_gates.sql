-- Those in which it was the challenger before those in which it was the champion.
SELECT gate_id, challenger, challenger_model, champion, champion_model, outcome, sentence, requested_by, approvers,
       answer_by, made_at, decision, approver, reason, decided_at,
       outcome = 'pass' AND decision IS NULL AND answer_by > now() AS waits
FROM reporting.gates
WHERE challenger = %(version)s OR champion = %(version)s
ORDER BY challenger = %(version)s DESC, made_at DESC
LIMIT %(limit)s
