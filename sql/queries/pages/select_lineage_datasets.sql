SELECT dataset_id, kind, images, rule, made_by, made_at
FROM reporting.datasets
WHERE dataset_id = ANY(%(datasets)s)
