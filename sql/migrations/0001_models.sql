-- The ledger: one row for every fact, inserted and never changed. Hashes and ids compare as bytes (COLLATE "C"),
-- which is what they are, and faster than any language's order.

CREATE TABLE model_versions (
    version text COLLATE "C" PRIMARY KEY CHECK (length(version) = 64 AND version !~ '[^0-9a-f]'),
    name text NOT NULL,
    network text NOT NULL,
    classes text[] NOT NULL CHECK (cardinality(classes) > 0),
    bundle text NOT NULL,  -- its folder, relative to the store
    metrics jsonb,
    registered_at timestamptz NOT NULL DEFAULT now(),
    registered_by text NOT NULL
);

-- Frozen sets of labelled images: what a model was trained on, and what it is tested on. In the store a set is a
-- Parquet file of image ids and labels, by whose hash it is known, and the shards that have the images.
CREATE TABLE datasets (
    dataset_id text COLLATE "C" PRIMARY KEY CHECK (length(dataset_id) = 64 AND dataset_id !~ '[^0-9a-f]'),
    kind text NOT NULL CHECK (kind IN ('original', 'training', 'holdout', 'recent')),
    images integer NOT NULL CHECK (images > 0),
    labels text NOT NULL,  -- the Parquet file, relative to the store
    shards jsonb NOT NULL,  -- contract.FileRef of each
    rule jsonb NOT NULL,  -- how its images were chosen
    made_by text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE dataset_images (
    dataset_id text COLLATE "C" NOT NULL REFERENCES datasets,
    image_id text COLLATE "C" NOT NULL,  -- of `images`, or of a set that never landed
    label text NOT NULL,
    PRIMARY KEY (dataset_id, image_id)
);
CREATE INDEX dataset_images_image ON dataset_images (image_id);

-- Where a model comes from, as its bundle says. A bundle may have been trained elsewhere: its sets and its parent are
-- those of the ledger there.
CREATE TABLE model_lineage (
    version text COLLATE "C" PRIMARY KEY REFERENCES model_versions,
    parent text COLLATE "C" NOT NULL,  -- the model version whose weights it started from
    training_set text COLLATE "C" NOT NULL,  -- dataset_id
    holdout text COLLATE "C" NOT NULL,
    recent_set text COLLATE "C" NOT NULL,  -- the newest labelled images, which it has not seen
    asked_by text NOT NULL,
    reason text NOT NULL,
    report_id bigint,  -- the drift report that asked
    run_id text COLLATE "C" NOT NULL,  -- of retrain_model
    code_revision text NOT NULL,
    image_digest text,  -- of the container that trained; null if a process did
    versions jsonb NOT NULL,
    parameters jsonb NOT NULL
);
