-- Merges are made one after the other: each sees all that earlier ones settled. Until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtext('strandline.ledger'))
