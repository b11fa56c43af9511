-- The first champion was installed. Every later one passed a gate against the one before it, and somebody else than who
-- asked for it and who trained it approved it in time; or it was champion before, and was put back with a reason.
SELECT version, since, cause
FROM (
    SELECT version, lower(period) AS since, cause, gate_id, reason,
           lag(version) OVER (ORDER BY period) AS predecessor
    FROM champions
) AS history
WHERE NOT CASE cause
    WHEN 'installed' THEN predecessor IS NULL
    WHEN 'promoted' THEN EXISTS (
        SELECT
        FROM gates
        JOIN approvals USING (gate_id)
        JOIN model_versions ON model_versions.version = challenger
        LEFT JOIN model_lineage ON model_lineage.version = challenger
        WHERE gates.gate_id = history.gate_id
          AND challenger = history.version
          AND champion = predecessor
          AND outcome = 'pass'
          AND decision = 'approved'
          AND evidence = gate_evidence(gates.gate_id)
          AND lower(approver) NOT IN (lower(gates.requested_by), lower(registered_by), lower(coalesce(asked_by, '')))
          AND approver = ANY (approvers)
          AND decided_at <= answer_by
          AND made_at <= recorded_at
          AND recorded_at <= since
    )
    ELSE reason ~ '\S' AND EXISTS (
        SELECT FROM champions AS earlier WHERE earlier.version = history.version AND lower(earlier.period) < since
    )
END
