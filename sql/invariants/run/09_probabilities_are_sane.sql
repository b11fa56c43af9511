-- A prediction has a probability from 0 to 1 for each class, that sum to 1; its confidence is the largest, and its label
-- a class that has it.
SELECT run_id, image_id, model_version, label, confidence, probabilities
FROM predictions
JOIN model_versions ON version = model_version
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE probability BETWEEN 0 AND 1) AS sane,
           sum(probability) AS total,
           max(probability) AS largest
    FROM unnest(probabilities) AS of_class (probability)
) AS probability
WHERE cardinality(probabilities) <> cardinality(classes)
   OR sane <> cardinality(classes)
   OR abs(total - 1) > 0.001
   OR abs(confidence - largest) > 0.000001
   OR probabilities[array_position(classes, label)] < largest
