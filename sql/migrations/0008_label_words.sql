-- A label file is its name, its content, and when it came: what was loaded before, under another name or before another
-- content, may be said again. Of words with the same time, that of the file which came last counts.
DROP INDEX label_files_name_version;
CREATE INDEX label_files_name ON label_files (sha256(name), file_id);
DROP INDEX label_files_content;

ALTER TABLE labels DROP CONSTRAINT labels_pkey;
ALTER TABLE labels ADD CONSTRAINT labels_word
    UNIQUE NULLS NOT DISTINCT (image_id, source, labeller, labelled_at, label, file_id);

ALTER TABLE label_rejections ADD COLUMN detail text CHECK (detail <> '');

-- Rows of a label file that name images which are not ingested. Each waits until its image is, or until it was too long.
ALTER TABLE label_files ADD COLUMN waiting bigint NOT NULL DEFAULT 0;
ALTER TABLE label_files DROP CONSTRAINT label_file_adds_up;
ALTER TABLE label_files ADD CONSTRAINT label_file_adds_up
    CHECK (rows_read = accepted + known + rejected + waiting AND waiting >= 0);

CREATE TABLE label_waits (
    file_id bigint NOT NULL REFERENCES label_files,
    line bigint NOT NULL CHECK (line > 0),
    image_id text COLLATE "C",
    entry_id bigint,
    drop_at timestamptz,
    path bytea,
    path_shown text,
    places text[],  -- the paths that a person's or a tool's way to name a file may stand for
    label text COLLATE "C" NOT NULL,
    labeller text COLLATE "C" NOT NULL CHECK (labeller <> ''),
    labelled_at timestamptz NOT NULL,
    shown text NOT NULL,  -- the row, shortened, without control characters
    PRIMARY KEY (file_id, line),
    CONSTRAINT label_wait_names_an_image CHECK (num_nonnulls(image_id, entry_id, path) = 1)
);

CREATE TABLE label_wait_ends (
    file_id bigint NOT NULL,
    line bigint NOT NULL,
    state text NOT NULL CHECK (state IN ('accepted', 'known', 'rejected')),
    reason text CHECK (reason <> ''),
    detail text CHECK (detail <> ''),
    run_id text COLLATE "C" NOT NULL,  -- of ingest_labels
    ended_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (file_id, line),
    FOREIGN KEY (file_id, line) REFERENCES label_waits,
    CONSTRAINT label_wait_says_why CHECK ((state = 'rejected') = (reason IS NOT NULL))
);
CREATE INDEX label_wait_ends_run ON label_wait_ends (run_id);
