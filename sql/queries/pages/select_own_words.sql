SELECT image_id, label, labelled_at
FROM reporting.image_words
WHERE source = 'person' AND labeller = %(labeller)s AND image_id = %(image_id)s
ORDER BY labelled_at DESC
LIMIT 1
