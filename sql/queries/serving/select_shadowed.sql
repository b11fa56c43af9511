-- What a champion and its shadow said of pictures since a step, each picture once, in the order in which they were
-- recorded: `truth` is its label. What applications say does not count: they see the champion's answers, and speak of its
-- mistakes. Nor do labels that people were asked for because a version was unsure.
WITH pairs AS MATERIALIZED (
    SELECT *
    FROM (
        SELECT DISTINCT ON (shadows.image_id) shadows.image_id, shadows.recorded_at, shadows.server, shadows.sequence,
               answers.label AS answer, shadows.label AS shadow, shadows.failure IS NOT NULL AS shadow_failed
        FROM served_predictions AS shadows
        JOIN served_predictions AS answers ON answers.prediction_id = shadows.shadow_of
        WHERE shadows.rollout_id = %(rollout_id)s AND shadows.role = 'shadow' AND shadows.at >= %(since)s
          AND shadows.reason IS NULL AND shadows.version = %(version)s AND answers.version = %(champion)s
        ORDER BY shadows.image_id, shadows.recorded_at, shadows.server, shadows.sequence
    ) AS firsts
    ORDER BY recorded_at, server, sequence
    LIMIT %(rows)s
)
SELECT answer, shadow, shadow_failed, known.label AS truth
FROM pairs
LEFT JOIN LATERAL (
    SELECT label
    FROM image_labels
    WHERE image_labels.image_id = pairs.image_id
      AND source <> 'feedback'
      AND NOT EXISTS (
          SELECT FROM audit_images WHERE audit_images.image_id = pairs.image_id AND chosen = 'uncertain'
      )
) AS known ON true
ORDER BY recorded_at, server, sequence
