SELECT version, name, registered_at
FROM reporting.model_lineage
JOIN reporting.model_versions USING (version)
WHERE parent = %(version)s
ORDER BY registered_at
