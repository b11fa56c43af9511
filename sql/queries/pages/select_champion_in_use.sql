SELECT * FROM reporting.champions WHERE until IS NULL
