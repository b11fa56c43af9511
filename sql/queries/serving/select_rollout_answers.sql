-- What one arm of a canary answered since a step, each picture once, in the order in which they were recorded: `truth` is
-- its label, but for those that people were asked for because a version was unsure.
SELECT *
FROM (
    SELECT DISTINCT ON (served.image_id) served.recorded_at, served.server, served.sequence, served.label AS answer,
           served.failure IS NOT NULL AS failed, seconds, image_labels.label AS truth
    FROM served_predictions AS served
    LEFT JOIN image_labels
        ON image_labels.image_id = served.image_id AND NOT EXISTS (
            SELECT FROM audit_images WHERE audit_images.image_id = served.image_id AND chosen = 'uncertain'
        )
    WHERE rollout_id = %(rollout_id)s AND role = %(role)s AND at >= %(since)s AND reason IS NULL
    ORDER BY served.image_id, served.recorded_at, served.server, served.sequence
) AS answers
ORDER BY recorded_at, server, sequence
LIMIT %(rows)s
