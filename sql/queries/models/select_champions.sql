SELECT version, lower(period) AS since, how, promoted_by, reason
FROM champions
ORDER BY period
