INSERT INTO label_wait_ends (file_id, line, state, reason, detail, run_id)
SELECT %(file_id)s, line, status, reason, detail, %(run_id)s
FROM decided_labels
WHERE status <> 'waiting'
ORDER BY line
