-- Where the bundle of each version lies.
SELECT version, bundle FROM model_versions
