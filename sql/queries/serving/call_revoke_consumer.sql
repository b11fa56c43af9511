SELECT revoke_consumer(%(name)s, %(by)s)
