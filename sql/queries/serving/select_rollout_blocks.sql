-- When each block of so many answers of a version began, since a step.
SELECT at
FROM (
    SELECT at, row_number() OVER (ORDER BY at) AS number
    FROM served_predictions
    WHERE rollout_id = %(rollout_id)s AND role = 'canary' AND at >= %(since)s
) AS answers
WHERE (number - 1) %% %(rows)s = 0
ORDER BY at
