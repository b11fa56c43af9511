INSERT INTO label_rejections (file_id, line, reason, detail, shown)
SELECT %(file_id)s, line, reason, detail, shown
FROM decided_labels
WHERE status = 'rejected'
ORDER BY line
LIMIT %(kept)s
