-- The newest runs of a version, as many as have about so many images.
SELECT run_id
FROM (
    SELECT run_id, started_at, sum(classified) OVER (ORDER BY started_at DESC, run_id) - classified AS before
    FROM reporting.runs
    WHERE model_version = %(version)s AND classified > 0
) AS counted
WHERE before < %(images)s
