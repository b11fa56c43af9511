CREATE TEMPORARY TABLE staged_predictions (
    shard_id text COLLATE "C", image_id text COLLATE "C", label text, confidence real, probabilities real[], failure text
) ON COMMIT DROP
