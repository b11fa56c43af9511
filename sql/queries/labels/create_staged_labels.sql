CREATE TEMPORARY TABLE staged_labels (
    line bigint, image_id text COLLATE "C", entry_id bigint, drop_at timestamptz, path bytea, path_shown text,
    places text[], label text COLLATE "C", labeller text COLLATE "C", labelled_at timestamptz, reason text, shown text
) ON COMMIT DROP
