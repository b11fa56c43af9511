INSERT INTO model_versions (version, name, network, classes, bundle, metrics, registered_by)
VALUES (%(version)s, %(name)s, %(network)s, %(classes)s, %(bundle)s, %(metrics)s, %(registered_by)s)
ON CONFLICT (version) DO NOTHING
