-- At most so many images that landed in a window, in the order of their hashes: as good as random, and always the same.
-- One that landed several times is of the file whose name comes first.
-- People were asked about the uncertain ones because the model may be wrong there: their labels say nothing of the rest.
SELECT images.*, name, drop_source AS source, predictions.label, confidence, probabilities, predictions.run_id,
       predictions.shard_id,
       CASE WHEN asked AND source <> 'path' THEN NULL ELSE image_labels.label END AS truth
FROM (
    SELECT DISTINCT ON (image_id) image_id, display_name AS name, entries.source AS drop_source
    FROM entries
    JOIN outcomes USING (entry_id)
    WHERE drop_at >= %(window_start)s AND drop_at < %(window_end)s AND image_id IS NOT NULL
    ORDER BY image_id, display_name
) AS landed
JOIN predictions USING (image_id)
JOIN images USING (image_id)
LEFT JOIN (SELECT DISTINCT image_id, true AS asked FROM audit_images WHERE chosen = 'uncertain') AS uncertain USING (image_id)
LEFT JOIN image_labels USING (image_id)
WHERE predictions.model_version = %(model_version)s
ORDER BY image_id
LIMIT %(rows)s
