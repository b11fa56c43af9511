-- A spool is loaded by one after the other: each sees how far the one before came. Until the end of the transaction.
SELECT segment, bytes, last_sequence FROM serving_spools WHERE server = %(server)s FOR UPDATE
