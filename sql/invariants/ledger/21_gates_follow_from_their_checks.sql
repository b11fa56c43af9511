-- A gate has all its checks: it failed if one failed, and passed if all passed. Only a passed one was approved, and what
-- was answered to is what it says.
SELECT gate_id, outcome, checks, found, expected, decision
FROM (
    SELECT gates.gate_id, gates.outcome, checks, count(gate_results.gate_id) AS found, decision,
           evidence IS DISTINCT FROM gate_evidence(gates.gate_id) AND evidence IS NOT NULL AS altered,
           CASE WHEN bool_or(gate_results.outcome = 'fail') THEN 'fail'
                WHEN bool_and(gate_results.outcome = 'pass') THEN 'pass'
                ELSE 'not enough evidence' END AS expected
    FROM gates
    LEFT JOIN gate_results USING (gate_id)
    LEFT JOIN approvals USING (gate_id)
    GROUP BY gates.gate_id, decision, evidence
) AS judged
WHERE checks <> found OR outcome <> expected OR decision = 'approved' AND outcome <> 'pass' OR altered
