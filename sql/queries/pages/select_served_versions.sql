-- Which version answered whom, the latest first.
SELECT consumer, model, version, first_at, last_at, predictions, refused, failed
FROM reporting.served_versions
ORDER BY last_at DESC, consumer, version
LIMIT %(limit)s
