-- How long the drops of this ledger are; no row while there is none.
SELECT drop_end - drop_at AS length
FROM drops
LIMIT 1
