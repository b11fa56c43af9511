-- Each day's counts are those of its lines, and of those that were forgotten.
SELECT day, server, consumer, version, role, counted.predictions, forgotten, found.predictions AS found
FROM served_days AS counted
FULL JOIN (
    SELECT (at AT TIME ZONE 'UTC')::date AS day, server, consumer, version, role, count(*) AS predictions,
           count(*) FILTER (WHERE reason IS NOT NULL) AS refused,
           count(*) FILTER (WHERE failure IS NOT NULL) AS failed, min(at) AS first_at, max(at) AS last_at
    FROM served_predictions
    GROUP BY 1, 2, 3, 4, 5
) AS found USING (day, server, consumer, version, role)
WHERE coalesce(counted.predictions, 0) - coalesce(forgotten, 0) <> coalesce(found.predictions, 0)
   OR coalesce(forgotten, 0) = 0
      AND (counted.refused, counted.failed, counted.first_at, counted.last_at)
          IS DISTINCT FROM (found.refused, found.failed, found.first_at, found.last_at)
   OR found.refused > counted.refused OR found.failed > counted.failed
   OR found.first_at < counted.first_at OR found.last_at > counted.last_at
