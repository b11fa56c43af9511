-- Gates that were passed, and whose question lapsed without an answer within the last day; not one of a challenger that
-- was asked about again since.
SELECT gate_id, challenger, requested_by, answer_by
FROM gates
WHERE outcome = 'pass'
  AND answer_by BETWEEN now() - interval '1 day' AND now()
  AND NOT EXISTS (SELECT FROM approvals WHERE approvals.gate_id = gates.gate_id)
  AND NOT EXISTS (
      SELECT FROM gates AS newer WHERE newer.challenger = gates.challenger AND newer.made_at > gates.made_at
  )
ORDER BY answer_by
