CREATE TEMPORARY TABLE resolved_images (
    shard_id text COLLATE "C", image_id text COLLATE "C", status text, reason text, rank integer
) ON COMMIT DROP
