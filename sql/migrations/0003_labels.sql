-- Ground truth from files and people. Labels of paths are not copied: they stay where they are, in `entries`.

INSERT INTO locks (name) VALUES ('labels');

-- A label file is its name, its content, and when it came: what was loaded before, under another name or before another
-- content, may be said again. Of words with the same time, that of the file which came last counts. `version` is its
-- size and time, as that of an entry.
CREATE TABLE label_files (
    file_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name bytea NOT NULL,  -- path relative to the folder of label files, as the file system has it
    version text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    size bigint NOT NULL,
    modified_at timestamptz NOT NULL,
    state text NOT NULL CHECK (state IN ('loaded', 'known', 'refused')),
    reason text CHECK (reason <> ''),
    detail text,
    sha256 text COLLATE "C",
    same_as bigint REFERENCES label_files,  -- the file that was loaded with the same content
    model_version text COLLATE "C" REFERENCES model_versions,  -- whose classes were the valid ones
    rows_read bigint NOT NULL DEFAULT 0,
    accepted bigint NOT NULL DEFAULT 0,
    known bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    waiting bigint NOT NULL DEFAULT 0,
    reasons jsonb NOT NULL DEFAULT '{}',  -- of all that were rejected: rows by reason
    run_id text COLLATE "C" NOT NULL,  -- of ingest_labels
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT label_file_adds_up CHECK (rows_read = accepted + known + rejected + waiting AND waiting >= 0),
    CONSTRAINT label_file_says_why CHECK (
        CASE state WHEN 'loaded' THEN num_nulls(reason, sha256, same_as, model_version) = 2 AND sha256 IS NOT NULL
                   WHEN 'known' THEN same_as IS NOT NULL AND sha256 IS NOT NULL AND rows_read = 0
                   ELSE reason IS NOT NULL AND detail IS NOT NULL AND same_as IS NULL AND rows_read = 0 END
    )
);
CREATE INDEX label_files_name ON label_files (sha256(name), file_id);
CREATE INDEX label_files_run ON label_files (run_id);

-- The first rejected rows of a file, by their line; `label_files` counts them all.
CREATE TABLE label_rejections (
    file_id bigint NOT NULL REFERENCES label_files,
    line bigint NOT NULL CHECK (line > 0),
    reason text NOT NULL CHECK (reason <> ''),
    detail text CHECK (detail <> ''),
    shown text NOT NULL,  -- the row, shortened, without control characters
    PRIMARY KEY (file_id, line)
);

-- Rows of a label file that name images which are not ingested. Each waits until its image is, or until it was too
-- long.
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

-- In order of rank: what a later one says goes before what an earlier one says. Labels of paths are not in `labels`.
CREATE TYPE label_source AS ENUM ('path', 'file', 'person', 'decision');

-- Who said what of an image, and when. '' says that the image shows none of the classes, or is of no use.
-- A file's words and a person's come by different roles: neither can write the other's source.
CREATE TABLE labels (
    image_id text COLLATE "C" NOT NULL REFERENCES images,
    source label_source NOT NULL DEFAULT 'file' CHECK (source <> 'path'),
    labeller text COLLATE "C" NOT NULL CHECK (labeller <> ''),
    labelled_at timestamptz NOT NULL DEFAULT now(),
    label text COLLATE "C" NOT NULL,
    file_id bigint REFERENCES label_files,
    line bigint CHECK (line > 0),
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT labels_word UNIQUE NULLS NOT DISTINCT (image_id, source, labeller, labelled_at, label, file_id),
    CONSTRAINT file_labels_have_a_line CHECK (num_nulls(file_id, line) = CASE source WHEN 'file' THEN 0 ELSE 2 END)
);
CREATE INDEX labels_file ON labels (file_id) WHERE file_id IS NOT NULL;

-- Which images of a run people are asked to label: some at random, of all that the run predicted, and the most
-- uncertain.
CREATE TABLE audit_samples (
    run_id text COLLATE "C" PRIMARY KEY REFERENCES runs,  -- of ingest_images
    seed text NOT NULL CHECK (seed <> ''),  -- the random ones have the smallest sha256(seed || image_id)
    population integer NOT NULL CHECK (population >= 0),
    random integer NOT NULL CHECK (random BETWEEN 0 AND population),
    uncertain integer NOT NULL CHECK (uncertain BETWEEN 0 AND population - random),
    chosen_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE audit_images (
    run_id text COLLATE "C" NOT NULL REFERENCES audit_samples,
    image_id text COLLATE "C" NOT NULL REFERENCES images,
    chosen text NOT NULL CHECK (chosen IN ('random', 'uncertain')),
    margin real NOT NULL,  -- of the largest probability over the second
    PRIMARY KEY (run_id, image_id)
);
CREATE INDEX audit_images_image ON audit_images (image_id);
