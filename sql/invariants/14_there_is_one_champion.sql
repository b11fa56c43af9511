-- Once there is a run, there is exactly one champion at this moment.
SELECT run_id, champions_now
FROM runs
CROSS JOIN (SELECT count(*) AS champions_now FROM champions WHERE period @> now()) AS counted
WHERE champions_now <> 1
