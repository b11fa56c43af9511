SELECT * FROM reporting.image_shards WHERE image_id = %(image_id)s ORDER BY loaded_at DESC
