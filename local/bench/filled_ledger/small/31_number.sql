SELECT setval(pg_get_serial_sequence('entries', 'entry_id'), max(entry_id)) FROM entries
