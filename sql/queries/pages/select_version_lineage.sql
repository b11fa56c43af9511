SELECT model_lineage.*, parents.name AS parent_model
FROM reporting.model_lineage
LEFT JOIN reporting.model_versions AS parents ON parents.version = parent
WHERE model_lineage.version = %(version)s
