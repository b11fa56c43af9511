SELECT pg_advisory_lock(hashtext('strandline.migrate'))
