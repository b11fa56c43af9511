-- Where the images of a set came from, of those that landed here.
SELECT image_id, entries.source, drop_at, image_labels.source::text AS labelled_by
FROM dataset_images
JOIN images USING (image_id)
JOIN entries USING (entry_id)
LEFT JOIN image_labels USING (image_id)
WHERE dataset_id = %(dataset_id)s
