SELECT * FROM datasets WHERE kind = %(kind)s ORDER BY made_at DESC, dataset_id LIMIT 1
