INSERT INTO label_rejections (file_id, line, reason, shown)
SELECT %(file_id)s, line, reason, shown FROM judged_labels WHERE verdict = 'rejected' ORDER BY line LIMIT %(kept)s
