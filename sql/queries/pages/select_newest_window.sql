SELECT interval_start AS period, model_version AS version
FROM reporting.runs
WHERE classified > 0
ORDER BY started_at DESC
LIMIT 1
