SELECT * FROM reporting.image_datasets WHERE image_id = %(image_id)s ORDER BY made_at DESC LIMIT %(limit)s
