-- Of the versions that retrain_model has trained from the champion, the newest that no gate was held for.
SELECT version, asked_by
FROM model_lineage
JOIN model_versions USING (version)
JOIN trainings USING (run_id, asked_by)
WHERE NOT EXISTS (SELECT FROM gates WHERE challenger = version)
  AND model_lineage.parent = (SELECT champions.version FROM champions WHERE period @> now())
ORDER BY registered_at DESC, version
LIMIT 1
