-- Once there is a run, there is exactly one champion at this moment.
SELECT champions_now
FROM (SELECT count(*) AS champions_now FROM champions WHERE period @> now()) AS counted
WHERE champions_now <> 1 AND EXISTS (SELECT FROM runs)
