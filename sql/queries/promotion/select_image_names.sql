-- What the file was called that each of these images came of; none of an image that did not land here.
SELECT image_id, display_name AS name
FROM images
JOIN entries USING (entry_id)
WHERE image_id = ANY (%(image_ids)s)
