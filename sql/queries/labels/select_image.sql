SELECT image_id FROM images WHERE image_id = %(image_id)s
