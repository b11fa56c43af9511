SELECT verdict, reason, count(*) AS rows FROM judged_labels GROUP BY verdict, reason ORDER BY rows DESC, reason
