-- What files and people said, whatever counts of it.
SELECT image_id, label, source::text AS source, labeller, labelled_at, label_file, line
FROM reporting.image_words
WHERE image_words.source <> 'path'
ORDER BY labelled_at, image_id
LIMIT %(limit)s
