-- Versions of which there are drift reports.
SELECT version, name
FROM reporting.model_versions
WHERE EXISTS (SELECT FROM reporting.drift WHERE model_version = version)
ORDER BY registered_at DESC
