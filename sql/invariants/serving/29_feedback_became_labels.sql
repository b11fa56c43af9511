-- Feedback that was accepted is a label, of the image that was asked about and in the name of who asked; and every label
-- of an application is such feedback.
SELECT image_id, labeller, labelled_at, label IS NOT NULL AS has_label, said IS NOT NULL AS was_accepted
FROM (
    SELECT DISTINCT image_id, said.consumer AS labeller, said.at AS labelled_at, true AS said
    FROM served_feedback AS said
    JOIN served_feedback_ends USING (server, sequence)
    LEFT JOIN served_predictions USING (prediction_id)
    WHERE state = 'accepted'
) AS accepted
FULL JOIN (
    SELECT DISTINCT image_id, labeller, labelled_at, true AS label FROM labels WHERE source = 'feedback'
) AS labelled USING (image_id, labeller, labelled_at)
WHERE label IS NULL OR said IS NULL
