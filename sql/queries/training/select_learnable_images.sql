-- Labelled images that landed before a moment, and that nothing is tested on: of each class the newest, so many at most.
SELECT image_id, label, folder
FROM (
    SELECT image_id, label, folder, row_number() OVER (PARTITION BY label ORDER BY drop_at DESC, image_id) AS place
    FROM labelled_images
    WHERE label = ANY(%(classes)s) AND packed_for = ANY(%(versions)s) AND drop_at < %(before)s
      AND NOT held_out AND NOT is_recent
) AS ranked
WHERE place <= %(per_class)s
ORDER BY label, place
