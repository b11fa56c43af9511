-- Of all images of which people, files or applications say different things, and of the latest duplicates whose path says
-- something else than that of their image: the others have nothing to contradict each other.
SELECT image_id, min(fname) AS fname, max(drop_at) AS drop_at,
       jsonb_agg(jsonb_build_object('source', source, 'labeller', labeller, 'label', label) ORDER BY labelled_at) AS words
FROM reporting.label_conflicts
WHERE image_id = ANY (ARRAY(
    SELECT image_id
    FROM reporting.image_words
    WHERE source <> 'path'
    GROUP BY image_id
    HAVING min(label) <> max(label)
    UNION
    SELECT duplicates.image_id
    FROM (
        SELECT image_id, path_label
        FROM reporting.files
        WHERE state = 'duplicate'
        ORDER BY entry_id DESC
        LIMIT %(duplicates)s
    ) AS duplicates
    JOIN reporting.images USING (image_id)
    JOIN reporting.files AS ingested USING (entry_id)
    WHERE duplicates.path_label IS DISTINCT FROM ingested.path_label
))
GROUP BY image_id
ORDER BY max(labelled_at) DESC, image_id
LIMIT %(limit)s
