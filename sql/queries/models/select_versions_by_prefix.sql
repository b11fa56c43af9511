SELECT * FROM model_versions WHERE starts_with(version, %(prefix)s) ORDER BY version
