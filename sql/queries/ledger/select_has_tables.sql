SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'public') AS has_tables
