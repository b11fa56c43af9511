-- Images are named by their hash: in its order, the first are a random sample.
SELECT image_id, one_label, one_confidence, other_label, other_confidence, label, source
FROM (
    SELECT *
    FROM reporting.prediction_pairs
    WHERE run_id = ANY(%(runs)s) AND one_version = %(one)s AND other_version = %(other)s AND NOT agree
    ORDER BY image_id
    LIMIT %(limit)s
) AS pairs
LEFT JOIN LATERAL (
    SELECT label, source FROM reporting.known_labels WHERE known_labels.image_id = pairs.image_id
) AS known ON true
ORDER BY image_id
