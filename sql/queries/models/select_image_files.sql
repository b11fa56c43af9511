-- The file that each of these images was ingested of, as it was listed; none of an image that did not land here.
SELECT image_id, name, version
FROM images
JOIN entries USING (entry_id)
WHERE image_id = ANY (%(image_ids)s)
