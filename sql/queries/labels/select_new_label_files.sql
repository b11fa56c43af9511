-- Of the label files that were seen, by their position, those that differ from what their name was last recorded with.
SELECT seen.position::integer - 1 AS position
FROM unnest(%(names)b::bytea[], %(versions)b::text[]) WITH ORDINALITY AS seen (name, version, position)
LEFT JOIN LATERAL (
    SELECT label_files.version
    FROM label_files
    WHERE sha256(label_files.name) = sha256(seen.name)
    ORDER BY file_id DESC
    LIMIT 1
) AS last ON true
WHERE last.version IS DISTINCT FROM seen.version
ORDER BY position
