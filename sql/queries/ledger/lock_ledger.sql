-- Merges are made one after the other: each sees all that earlier ones settled. Until the end of the transaction.
SELECT name FROM locks WHERE name = 'ledger' FOR UPDATE
