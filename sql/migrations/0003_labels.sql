-- Ground truth from files and people. Labels of paths are not copied: they stay where they are, in `entries`.

-- Each version of a label file that was seen, once. `version` is its size and time, as that of an entry.
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
    reasons jsonb NOT NULL DEFAULT '{}',  -- of all that were rejected: rows by reason
    run_id text COLLATE "C" NOT NULL,  -- of ingest_labels
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT label_file_adds_up CHECK (rows_read = accepted + known + rejected),
    CONSTRAINT label_file_says_why CHECK (
        CASE state WHEN 'loaded' THEN num_nulls(reason, sha256, same_as, model_version) = 2 AND sha256 IS NOT NULL
                   WHEN 'known' THEN same_as IS NOT NULL AND sha256 IS NOT NULL AND rows_read = 0
                   ELSE reason IS NOT NULL AND detail IS NOT NULL AND same_as IS NULL AND rows_read = 0 END
    )
);
CREATE UNIQUE INDEX label_files_name_version ON label_files (sha256(name), version);
CREATE UNIQUE INDEX label_files_content ON label_files (sha256) WHERE state = 'loaded';
CREATE INDEX label_files_run ON label_files (run_id);

-- The first rejected rows of a file, by their line; `label_files` counts them all.
CREATE TABLE label_rejections (
    file_id bigint NOT NULL REFERENCES label_files,
    line bigint NOT NULL CHECK (line > 0),
    reason text NOT NULL CHECK (reason <> ''),
    shown text NOT NULL,  -- the row, shortened, without control characters
    PRIMARY KEY (file_id, line)
);

-- In order of rank: what a later one says goes before what an earlier one says. Labels of paths are not in `labels`.
CREATE TYPE label_source AS ENUM ('path', 'file', 'person', 'decision');

-- Who said what of an image, and when. '' says that the image shows none of the classes, or is of no use.
CREATE TABLE labels (
    image_id text COLLATE "C" NOT NULL REFERENCES images,
    source label_source NOT NULL CHECK (source <> 'path'),
    labeller text COLLATE "C" NOT NULL CHECK (labeller <> ''),
    labelled_at timestamptz NOT NULL,
    label text COLLATE "C" NOT NULL,
    file_id bigint REFERENCES label_files,
    line bigint CHECK (line > 0),
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (image_id, source, labeller, labelled_at, label),
    CONSTRAINT file_labels_have_a_line CHECK (num_nulls(file_id, line) = CASE source WHEN 'file' THEN 0 ELSE 2 END)
);
CREATE INDEX labels_file ON labels (file_id) WHERE file_id IS NOT NULL;

-- Which images of a run people are asked to label: some at random, of all that the run predicted, and the most uncertain.
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
