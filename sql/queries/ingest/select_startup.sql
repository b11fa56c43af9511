-- What starting up cost and how fast it then went: medians of the last batches that a model version classified. One
-- that was done within a second says little of how fast.
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY startup) AS startup,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY images_per_second) AS images_per_second
FROM (
    SELECT startup, images_per_second
    FROM reporting.batches
    WHERE model_version = %(version)s AND startup IS NOT NULL AND images_per_second IS NOT NULL AND classify >= 1
    ORDER BY loaded_at DESC
    LIMIT 20
) AS recent
