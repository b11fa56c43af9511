SELECT version, name, network, classes, registered_at, registered_by, bundle, metrics, in_use
FROM reporting.model_versions
WHERE version = %(version)s
