SELECT * FROM reporting.image_words WHERE image_id = %(image_id)s ORDER BY labelled_at DESC LIMIT %(limit)s
