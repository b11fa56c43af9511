-- Spools of which no agent has seen for so long that all of them is loaded.
SELECT server, complete_at
FROM reporting.serving_spools
WHERE complete_at < now() - make_interval(mins => %(minutes)s)
ORDER BY complete_at, server
