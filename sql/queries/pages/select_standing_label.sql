SELECT * FROM reporting.standing_labels WHERE image_id = %(image_id)s
