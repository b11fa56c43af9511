-- What is said of each image by those of the highest rank, each labeller's last word; of decisions, the very last one.
-- Where nothing else is, the label of the path of the entry that was ingested, if it was a class of the run's model.
-- `label` is null where nothing is said, and '' where the image shows none of the classes. Several who agree are one
-- row: the first by name, and the time of the last. By image, not by history: so an hour is read in the time of an hour.
CREATE VIEW standing_labels AS
SELECT images.image_id, images.entry_id, drop_at, display_name,
       coalesce(said.source, path.source) AS source,
       coalesce(said.label, path.label) AS label,
       said.labeller,
       coalesce(said.labelled_at, path.labelled_at) AS labelled_at,
       coalesce(said.conflicting, false) AS conflicting
FROM images
JOIN entries USING (entry_id)
LEFT JOIN LATERAL (
    SELECT 'path'::label_source AS source, path_label AS label, listed_at AS labelled_at
    WHERE path_label IS NOT NULL AND coalesce(notes, '') NOT LIKE '%UNKNOWN_LABEL%'
) AS path ON true
LEFT JOIN LATERAL (
    SELECT max(source) AS source, min(label) AS label, min(labeller) AS labeller, max(labelled_at) AS labelled_at,
           min(label) <> max(label) AS conflicting
    FROM labels AS word
    WHERE word.image_id = images.image_id
      AND NOT EXISTS (
          SELECT
          FROM labels AS other
          WHERE other.image_id = images.image_id
            AND (other.source > word.source
                 OR other.source = word.source
                    AND (other.labeller = word.labeller OR other.source = 'decision')
                    AND other.labelled_at > word.labelled_at)
      )
) AS said ON true;

-- The ground truth of images: one row each that has a label which nobody of the same rank denies.
CREATE VIEW image_labels AS
SELECT image_id, label, source, labeller, labelled_at
FROM standing_labels
WHERE label <> '' AND NOT conflicting;
