-- Choose of a run's predictions: at random, all alike, whatever is known of them; and the most uncertain of the others,
-- those without a label among the thousand least sure. A run is sampled once.
WITH population AS MATERIALIZED (
    SELECT image_id, confidence - coalesce(second, 0) AS margin
    FROM predictions
    LEFT JOIN LATERAL (
        SELECT probability AS second
        FROM unnest(probabilities) AS of_class (probability)
        ORDER BY probability DESC
        LIMIT 1 OFFSET 1
    ) AS runner_up ON true
    WHERE run_id = %(run_id)s
), random AS MATERIALIZED (
    SELECT image_id, margin
    FROM population
    ORDER BY sha256(convert_to(%(seed)s || image_id, 'UTF8'))
    LIMIT %(random)s
), uncertain AS MATERIALIZED (
    SELECT image_id, margin
    FROM (
        SELECT * FROM population WHERE image_id NOT IN (SELECT image_id FROM random) ORDER BY margin, image_id LIMIT 1000
    ) AS others
    WHERE (SELECT label FROM standing_labels WHERE standing_labels.image_id = others.image_id) IS NULL
    ORDER BY margin, image_id
    LIMIT %(uncertain)s
), sample AS (
    INSERT INTO audit_samples (run_id, seed, population, random, uncertain)
    SELECT %(run_id)s, %(seed)s,
           (SELECT count(*) FROM population), (SELECT count(*) FROM random), (SELECT count(*) FROM uncertain)
    ON CONFLICT (run_id) DO NOTHING
    RETURNING run_id
)
INSERT INTO audit_images (run_id, image_id, chosen, margin)
SELECT run_id, image_id, chosen, margin
FROM sample
CROSS JOIN (
    SELECT image_id, margin, 'random' AS chosen FROM random
    UNION ALL
    SELECT image_id, margin, 'uncertain' FROM uncertain
) AS images
