SELECT count(*) AS images
FROM reporting.predictions
WHERE drop_at BETWEEN %(since)s AND %(period)s AND model_version = %(version)s
