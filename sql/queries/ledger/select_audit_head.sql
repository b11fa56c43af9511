SELECT count(*) AS steps, coalesce((SELECT hash FROM audit_log ORDER BY audit_id DESC LIMIT 1), '') AS hash FROM audit_log
