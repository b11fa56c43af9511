-- The ground truth of images: the label of the path of the entry that was ingested.
CREATE VIEW image_labels AS
SELECT image_id, path_label AS label
FROM images
JOIN entries USING (entry_id)
WHERE path_label IS NOT NULL;
