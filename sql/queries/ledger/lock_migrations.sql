-- Until the end of the transaction.
LOCK TABLE schema_migrations IN SHARE ROW EXCLUSIVE MODE
