-- Label files are loaded one after the other: each sees the words of all earlier ones. Until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtext('strandline.labels'))
