-- Distinct images with a label that landed in [start, end).
SELECT count(DISTINCT image_id) AS labelled
FROM entries
JOIN outcomes USING (entry_id)
JOIN image_labels USING (image_id)
WHERE drop_at >= %(start)s AND drop_at < %(end)s
