-- Each step of the audit log has the hash of itself and of the one before it: none was changed, taken out or put between.
SELECT audit_id, who, what, of_table, hash, expected
FROM (
    SELECT audit_log.*,
           audit_hash(coalesce(lag(hash) OVER (ORDER BY audit_id), ''), audit_log) AS expected
    FROM audit_log
) AS chained
WHERE hash <> expected
