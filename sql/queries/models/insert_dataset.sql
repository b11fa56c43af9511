INSERT INTO datasets (dataset_id, kind, images, labels, shards, rule, made_by)
VALUES (%(dataset_id)s, %(kind)s, %(images)s, %(labels)s, %(shards)s, %(rule)s, %(made_by)s)
ON CONFLICT (dataset_id) DO NOTHING
