SELECT * FROM datasets WHERE dataset_id = %(dataset_id)s
