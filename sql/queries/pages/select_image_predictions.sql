SELECT * FROM reporting.image_predictions WHERE image_id = %(image_id)s ORDER BY predicted_at DESC
