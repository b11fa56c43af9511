SELECT status, reason, count(*) AS rows FROM decided_labels GROUP BY status, reason ORDER BY rows DESC, reason
