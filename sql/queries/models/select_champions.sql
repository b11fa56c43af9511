SELECT version, lower(period) AS since, cause, promoted_by, reason
FROM champions
ORDER BY period
