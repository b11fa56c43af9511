CREATE TEMPORARY TABLE staged_paths (line bigint, image_id text COLLATE "C", fname text, rank integer) ON COMMIT DROP
