SELECT status, count(*)::integer AS images FROM resolved_images WHERE rank = 1 GROUP BY status
