-- When versions were champion, and which came after; a version that never was has one row without a time.
SELECT model_versions.version, model_versions.name, since, until, promoted_by, reason, replaced_by,
       successor.name AS replaced_by_name
FROM model_versions
LEFT JOIN (
    SELECT version, lower(period) AS since, upper(period) AS until, promoted_by, reason,
           lead(version) OVER (ORDER BY lower(period)) AS replaced_by
    FROM champions
) AS periods USING (version)
LEFT JOIN model_versions AS successor ON successor.version = replaced_by
WHERE model_versions.version = ANY (%(versions)s)
ORDER BY since, model_versions.version
