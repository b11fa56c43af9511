-- As `reporting.labellers`, of the images of the latest so many words alone: how often a labeller agrees with each other one,
-- and with the paths, on those that both labelled.
WITH words AS (
    SELECT DISTINCT ON (image_id, source, labeller, CASE source WHEN 'path' THEN label END)
           image_id, source, labeller, label
    FROM reporting.image_words
    WHERE source <> 'decision' AND image_id = ANY (ARRAY(
        SELECT image_id
        FROM reporting.image_words
        WHERE source NOT IN ('path', 'decision')
        ORDER BY labelled_at DESC
        LIMIT %(words)s
    ))
    ORDER BY image_id, source, labeller, CASE source WHEN 'path' THEN label END, labelled_at DESC, label_file DESC, line DESC
)
SELECT source, labeller, images, compared, agreed, agreed::double precision / nullif(compared, 0) AS agreement, low, high
FROM (
    SELECT words.source, words.labeller, count(DISTINCT words.image_id) AS images, count(others.image_id) AS compared,
           count(*) FILTER (WHERE others.label = words.label) AS agreed
    FROM words
    LEFT JOIN words AS others
        ON others.image_id = words.image_id
       AND (others.source, others.labeller) IS DISTINCT FROM (words.source, words.labeller)
    WHERE words.source <> 'path'
    GROUP BY words.source, words.labeller
) AS compared
LEFT JOIN LATERAL reporting.wilson(agreed, compared) ON true
ORDER BY images DESC, labeller
LIMIT %(limit)s
