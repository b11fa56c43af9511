-- What the paths of an image say that it shows, if the folder was a class of the run's model: those of the last drop
-- in which it lay, and there of the last listing. So a file that was moved says what its new folder says; two folders
-- in one listing contradict each other.
CREATE VIEW path_words AS
SELECT images.image_id, word.label, display_name, drop_at, listed_at
FROM images
CROSS JOIN LATERAL (
    SELECT *, rank() OVER (ORDER BY drop_at DESC, listed_at DESC) AS age
    FROM (
        SELECT path_label AS label, images.notes, display_name, drop_at, listed_at
        FROM entries
        WHERE entries.entry_id = images.entry_id
        UNION ALL
        SELECT path_label, outcomes.notes, display_name, drop_at, listed_at
        FROM outcomes
        JOIN entries USING (entry_id)
        WHERE outcomes.image_id = images.image_id AND state = 'duplicate'
    ) AS paths
    WHERE label IS NOT NULL AND coalesce(notes, '') NOT LIKE '%UNKNOWN_LABEL%'
) AS word
WHERE age = 1;

-- What is said of each image by those of the highest rank, each labeller's last word (of words with the same time,
-- that of the file which was loaded last); of decisions, the very last one.
-- If nothing else is, what its paths say. `label` is null if nothing is said, and '' if the image shows none of
-- the classes. Several who agree are one row: the first by name, and the time of the last. By image, not by history: so
-- a drop is read in the time of a drop.
CREATE VIEW standing_labels AS
SELECT images.image_id, images.entry_id, entries.source AS drop_source, drop_at, display_name,
       coalesce(said.source, path.source) AS source,
       coalesce(said.label, path.label) AS label,
       said.labeller,
       coalesce(said.labelled_at, path.labelled_at) AS labelled_at,
       coalesce(said.conflicting, path.conflicting, false) AS conflicting
FROM images
JOIN entries USING (entry_id)
LEFT JOIN LATERAL (
    SELECT 'path'::label_source AS source, min(label) AS label, max(listed_at) AS labelled_at,
           min(label) <> max(label) AS conflicting
    FROM path_words
    WHERE path_words.image_id = images.image_id
    HAVING count(*) > 0
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
                    AND (other.labelled_at, coalesce(other.file_id, 0)) > (word.labelled_at, coalesce(word.file_id, 0)))
      )
) AS said ON true;

-- The ground truth of images: one row each that has a label which nobody of the same rank denies.
CREATE VIEW image_labels AS
SELECT image_id, label, source, labeller, labelled_at
FROM standing_labels
WHERE label <> '' AND NOT conflicting;
