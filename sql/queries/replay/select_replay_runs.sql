SELECT run_id, kind, model_version, name, interval_start, interval_end, min(loaded_at) AS loaded_at
FROM runs
JOIN model_versions ON version = model_version
LEFT JOIN batches USING (run_id, model_version)
WHERE run_id = ANY (%(run_ids)s)
GROUP BY run_id, version
ORDER BY loaded_at, run_id
