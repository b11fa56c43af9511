SELECT create_consumer(%(name)s, %(token_sha256)s, %(rate)s, %(version)s, %(by)s)
