-- Each time that an application was let in, those who may ask now first.
SELECT name, requests_per_second, version, created_by, created_at, revoked_by, revoked_at
FROM reporting.consumers
ORDER BY revoked_at DESC NULLS FIRST, name
LIMIT %(limit)s
