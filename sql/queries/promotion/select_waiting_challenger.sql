-- Of the versions that retrain_model has trained here, the newest that no gate was planned for.
SELECT version, asked_by
FROM model_lineage
JOIN model_versions USING (version)
JOIN trainings USING (run_id, asked_by)
WHERE NOT EXISTS (SELECT FROM gates WHERE challenger = version)
  AND NOT EXISTS (SELECT FROM gate_plans WHERE challenger = version)
ORDER BY registered_at DESC, version
LIMIT 1
