SELECT FROM pg_database WHERE datname = %(database)s
