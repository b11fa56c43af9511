CREATE TEMPORARY TABLE staged_entries (
    drop_at timestamptz, name bytea, version text, display_name text, path_label text, size bigint,
    modified_at timestamptz, shard_id text, ordinal integer, state text, reason text, detail text,
    source text
) ON COMMIT DROP
