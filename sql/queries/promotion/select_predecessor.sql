-- In whose place the champion came by its last promotion, so that two who roll back at once do not go forth and back.
SELECT champion AS version
FROM gates
JOIN champions USING (gate_id)
WHERE champions.version = %(version)s
ORDER BY champions.period DESC
LIMIT 1
