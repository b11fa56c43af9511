-- Of pictures that a serving process kept, those whose line is loaded: when each was last asked about, and its format.
SELECT DISTINCT ON (image_id) image_id, at, format
FROM served_predictions
WHERE server = %(server)s AND image_id = ANY(%(image_ids)s) AND kept
ORDER BY image_id, at DESC
