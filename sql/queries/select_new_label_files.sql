-- Of the label files that were seen, by their position, those that are not recorded.
SELECT seen.position::integer - 1 AS position
FROM unnest(%(names)b::bytea[], %(versions)b::text[]) WITH ORDINALITY AS seen (name, version, position)
LEFT JOIN label_files ON sha256(label_files.name) = sha256(seen.name) AND label_files.version = seen.version
WHERE label_files.file_id IS NULL
ORDER BY position
