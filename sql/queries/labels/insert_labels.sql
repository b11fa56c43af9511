INSERT INTO labels (image_id, labeller, labelled_at, label, file_id, line)
SELECT image_id, labeller, labelled_at, label, %(file_id)s, line
FROM decided_labels
WHERE status = 'accepted'
ORDER BY image_id
