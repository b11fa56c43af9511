SELECT gate_id, challenger, challenger_model, outcome, sentence, requested_by, answer_by
FROM reporting.gates
WHERE decision IS NULL AND outcome = 'pass' AND answer_by > now()
ORDER BY made_at
