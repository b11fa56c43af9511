-- What one arm of a canary answered since then, each picture once, in the order in which they were recorded: `truth` is
-- its label, but for those that people were asked for because a version was unsure.
WITH answers AS MATERIALIZED (
    SELECT *
    FROM (
        SELECT DISTINCT ON (image_id) image_id, recorded_at, server, sequence, label AS answer,
               failure IS NOT NULL AS failed, seconds
        FROM served_predictions
        WHERE rollout_id = %(rollout_id)s AND role = %(role)s AND version = %(version)s AND at >= %(since)s
          AND at < coalesce(%(until)s::timestamptz, 'infinity') AND reason IS NULL
        ORDER BY image_id, recorded_at, server, sequence
    ) AS firsts
    ORDER BY recorded_at, server, sequence
    LIMIT %(rows)s
)
SELECT answer, failed, seconds, known.label AS truth
FROM answers
LEFT JOIN LATERAL (
    SELECT label
    FROM image_labels
    WHERE image_labels.image_id = answers.image_id
      AND NOT EXISTS (
          SELECT FROM audit_images WHERE audit_images.image_id = answers.image_id AND chosen = 'uncertain'
      )
) AS known ON true
ORDER BY recorded_at, server, sequence
