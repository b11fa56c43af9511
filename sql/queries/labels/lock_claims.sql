SELECT name FROM locks WHERE name = 'claims' FOR UPDATE
