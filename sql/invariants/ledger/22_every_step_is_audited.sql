-- Each gate, approval, change of the champion, discard, step about a consumer and step of a rollout is in the audit log,
-- once, and nothing else is.
SELECT of_table, key, facts, steps
FROM (
    SELECT of_table, key, coalesce(facts, 0) AS facts, coalesce(steps, 0) AS steps
    FROM (
        SELECT 'gates' AS of_table, gate_id COLLATE "C" AS key, 1 AS facts FROM gates
        UNION ALL
        SELECT 'approvals', gate_id, 1 FROM approvals
        UNION ALL
        SELECT 'discards', discard_id::text, 1 FROM discards
        UNION ALL
        SELECT 'consumer_steps', step_id::text, 1 FROM consumer_steps
        UNION ALL
        SELECT 'rollout_steps', step_id::text, 1 FROM rollout_steps
        UNION ALL
        SELECT 'champions', version || ' ' || extract(epoch FROM lower(period)), 1 FROM champions
    ) AS happened
    FULL JOIN (
        SELECT of_table, CASE of_table
                   WHEN 'champions' THEN
                       details ->> 'version' || ' ' || extract(epoch FROM lower((details ->> 'period')::tstzrange))
                   ELSE coalesce(details ->> 'gate_id', details ->> 'discard_id', details ->> 'step_id')
                   END COLLATE "C" AS key,
               count(*) AS steps
        FROM audit_log
        GROUP BY 1, 2
    ) AS logged USING (of_table, key)
) AS counted
WHERE facts <> steps
