CREATE TEMPORARY TABLE staged_paths (line bigint, image_id text COLLATE "C") ON COMMIT DROP
