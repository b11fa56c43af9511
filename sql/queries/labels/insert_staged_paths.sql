-- The images at the paths of a label file that have a period: by name, and by the name that people are shown.
INSERT INTO staged_paths (line, image_id, fname, rank)
SELECT line, outcomes.image_id, display_name, 0
FROM staged_labels AS staged
JOIN entries ON entries.drop_at = staged.drop_at AND sha256(entries.name) = sha256(path)
JOIN outcomes ON outcomes.entry_id = entries.entry_id AND outcomes.image_id IS NOT NULL
UNION
SELECT line, outcomes.image_id, display_name, 0
FROM staged_labels AS staged
JOIN entries ON entries.drop_at = staged.drop_at AND display_name = path_shown
JOIN outcomes ON outcomes.entry_id = entries.entry_id AND outcomes.image_id IS NOT NULL
WHERE path_shown IS NOT NULL
