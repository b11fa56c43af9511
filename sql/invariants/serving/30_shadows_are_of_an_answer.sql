-- What a shadow says is of the picture, and of the rollout, of an answer that was given. That line may be one that could
-- not be recorded.
SELECT shadows.prediction_id, shadows.shadow_of, shadows.image_id, answers.image_id AS answered
FROM served_predictions AS shadows
LEFT JOIN served_predictions AS answers
    ON answers.prediction_id = shadows.shadow_of AND answers.role <> 'shadow'
WHERE shadows.role = 'shadow'
  AND CASE WHEN answers.prediction_id IS NULL
           THEN NOT EXISTS (SELECT FROM served_refused_lines WHERE served_refused_lines.server = shadows.server)
           ELSE (answers.image_id, answers.rollout_id) IS DISTINCT FROM (shadows.image_id, shadows.rollout_id) END
