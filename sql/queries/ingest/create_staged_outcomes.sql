CREATE TEMPORARY TABLE staged_outcomes (
    entry_id bigint, shard_id text COLLATE "C", state text, decoded boolean,
    reason text, detail text, notes text, image_id text COLLATE "C",
    width integer, height integer, format text, mode text, bytes bigint,
    brightness real, contrast real, saturation real, sharpness real
) ON COMMIT DROP
