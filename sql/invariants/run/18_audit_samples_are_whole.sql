-- An audit sample has the images that it says, all of them predicted by its run; the random ones are those that its seed
-- gives.
SELECT run_id, population, random, uncertain, random_found, uncertain_found, foreign_found, misdrawn_found
FROM audit_samples
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE chosen = 'random') AS random_found,
           count(*) FILTER (WHERE chosen = 'uncertain') AS uncertain_found,
           count(*) FILTER (WHERE predictions.image_id IS NULL) AS foreign_found,
           count(*) FILTER (WHERE chosen = 'uncertain' AND drawn < last_drawn) AS misdrawn_found
    FROM (
        SELECT image_id, chosen, drawn, max(drawn) FILTER (WHERE chosen = 'random') OVER () AS last_drawn
        FROM audit_images
        CROSS JOIN LATERAL (SELECT encode(sha256(convert_to(seed || image_id, 'UTF8')), 'hex') COLLATE "C" AS drawn) AS draw
        WHERE audit_images.run_id = audit_samples.run_id
    ) AS images
    LEFT JOIN predictions ON predictions.image_id = images.image_id AND predictions.run_id = audit_samples.run_id
) AS found ON true
WHERE random <> random_found
   OR uncertain <> uncertain_found
   OR foreign_found > 0
   OR misdrawn_found > 0
