SELECT * FROM reporting.images WHERE image_id = %(image_id)s
