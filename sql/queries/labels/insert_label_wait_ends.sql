INSERT INTO label_wait_ends (file_id, line, state, reason, detail, run_id)
SELECT %(file_id)s, line, verdict, reason, detail, %(run_id)s
FROM judged_labels
WHERE verdict <> 'waiting'
ORDER BY line
