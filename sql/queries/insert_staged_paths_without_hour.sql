-- The images at the paths that name no hour: of all entries, one by one.
INSERT INTO staged_paths (line, image_id)
SELECT DISTINCT line, outcomes.image_id
FROM staged_labels AS staged
JOIN entries ON sha256(entries.name) = sha256(path) OR display_name = path_shown
JOIN outcomes ON outcomes.entry_id = entries.entry_id AND outcomes.image_id IS NOT NULL
WHERE path IS NOT NULL AND staged.drop_at IS NULL
