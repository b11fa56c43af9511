CREATE TEMPORARY TABLE staged_batches (
    shard_id text COLLATE "C", shard_rows integer, seconds jsonb, versions jsonb, device text, shard_sha256 text,
    image_digest text, folder text, result_sha256 text COLLATE "C"
) ON COMMIT DROP
