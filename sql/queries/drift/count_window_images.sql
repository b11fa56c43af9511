-- Distinct images that landed in a window, and those of them that a model version has predicted.
SELECT count(*) AS landed, count(predictions.image_id) AS predicted
FROM (
    SELECT DISTINCT image_id
    FROM entries
    JOIN outcomes USING (entry_id)
    WHERE drop_at >= %(window_start)s AND drop_at < %(window_end)s AND image_id IS NOT NULL
) AS landed
LEFT JOIN predictions ON predictions.image_id = landed.image_id AND model_version = %(model_version)s
