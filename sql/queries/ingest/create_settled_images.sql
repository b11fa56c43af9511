CREATE TEMPORARY TABLE settled_images (
    shard_id text COLLATE "C", image_id text COLLATE "C", verdict text, reason text, turn integer
) ON COMMIT DROP
