-- Every answer is by a registered version.
SELECT version, count(*) AS predictions, min(at) AS first_at
FROM served_predictions
WHERE NOT EXISTS (SELECT FROM model_versions WHERE model_versions.version = served_predictions.version)
GROUP BY version
