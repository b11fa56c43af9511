-- Of the first digits of a version: two, if they do not tell which.
SELECT version
FROM reporting.model_versions
WHERE starts_with(version, %(prefix)s)
LIMIT 2
