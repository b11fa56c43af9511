-- Label files are loaded one after the other: each sees the words of all earlier ones. Until the end of the transaction.
SELECT name FROM locks WHERE name = 'labels' FOR UPDATE
