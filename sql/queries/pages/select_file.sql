SELECT * FROM reporting.files WHERE entry_id = %(entry_id)s
