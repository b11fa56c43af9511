CREATE TEMPORARY TABLE decided_labels (
    line bigint, image_id text COLLATE "C", label text COLLATE "C", labeller text COLLATE "C", labelled_at timestamptz,
    status text, reason text, detail text, shown text
) ON COMMIT DROP
