INSERT INTO labels (image_id, source, labeller, labelled_at, label, file_id, line)
SELECT image_id, 'file', labeller, labelled_at, label, %(file_id)s, line
FROM judged_labels
WHERE verdict = 'accepted'
ORDER BY image_id
