-- Each image of a classified shard has one row of predictions, and each row its image.
SELECT shard_id, image_id,
       CASE WHEN sum(predicted) > 1 THEN 'was classified more than once'
            WHEN max(decoded) = 0 THEN 'is not in the shard'
            ELSE 'was not classified' END AS fault
FROM (
    SELECT shard_id, image_id, 1 AS decoded, 0 AS predicted
    FROM staged_outcomes
    WHERE decoded AND shard_id IN (SELECT shard_id FROM staged_batches)
    UNION ALL
    SELECT shard_id, image_id, 0, 1 FROM staged_predictions
) AS both_sides
GROUP BY shard_id, image_id
HAVING max(decoded) <> 1 OR sum(predicted) <> 1
LIMIT 5
