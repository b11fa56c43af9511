-- What landed, what became of it, and what was measured of it.

-- What is done one after the other takes its row here FOR UPDATE. An advisory lock anybody may take, a row only who may
-- update its table.
CREATE TABLE locks (
    name text PRIMARY KEY,
    taken boolean NOT NULL DEFAULT false  -- never set: there has to be a column that may be updated
);
INSERT INTO locks (name) VALUES ('ledger');

-- A drop is [drop_at, drop_end) of one source: how long, is a setting.
CREATE TABLE drops (
    source text COLLATE "C" NOT NULL DEFAULT '',
    drop_at timestamptz NOT NULL,
    drop_end timestamptz NOT NULL,
    PRIMARY KEY (source, drop_at),
    CONSTRAINT drop_goes_forward CHECK (drop_at < drop_end),
    CONSTRAINT drop_is_a_full_period CHECK (
        mod(extract(epoch FROM drop_at AT TIME ZONE 'UTC'), nullif(extract(epoch FROM drop_end - drop_at), 0)) = 0
    )
);

CREATE TABLE entries (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Where files come from, as a camera or a shop: the folder before the period, as people see it; '' if there is none.
    source text COLLATE "C" NOT NULL DEFAULT '',
    drop_at timestamptz NOT NULL,
    name bytea NOT NULL,  -- path relative to the landing zone, as the file system has it
    version text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    path_label text,
    size bigint NOT NULL,
    modified_at timestamptz NOT NULL,
    listed_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (source, drop_at) REFERENCES drops,
    CONSTRAINT source_is_the_first_folder
        CHECK (source = '' OR source !~ '/' AND starts_with(display_name, source || '/'))
);
-- By hash, because an index row holds at most 2.7 kB and a path may have 4 kB.
CREATE UNIQUE INDEX entries_drop_name_version ON entries (drop_at, sha256(name), version);

CREATE TABLE runs (
    run_id text COLLATE "C" PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('scheduled', 'manual', 'backfill')),
    interval_start timestamptz NOT NULL,
    interval_end timestamptz NOT NULL,
    model_version text COLLATE "C" NOT NULL REFERENCES model_versions,
    files_seen integer NOT NULL CHECK (files_seen >= 0),
    known integer NOT NULL CHECK (known >= 0),
    deferred integer NOT NULL CHECK (deferred >= 0),
    listed integer NOT NULL CHECK (listed >= 0),
    -- Of those deferred, how many lie in periods that have not begun: most likely mistyped.
    future integer NOT NULL DEFAULT 0 CHECK (future BETWEEN 0 AND deferred),
    started_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT run_interval_goes_forward CHECK (interval_start < interval_end),
    CONSTRAINT run_accounts_for_every_file CHECK (files_seen = known + deferred + listed),
    UNIQUE (run_id, model_version)
);

CREATE TABLE shards (
    shard_id text COLLATE "C" PRIMARY KEY CHECK (length(shard_id) = 64 AND shard_id !~ '[^0-9a-f]'),
    entries integer NOT NULL CHECK (entries > 0)
);

-- The frozen listing. An entry that was settled by the listing alone is in no shard.
CREATE TABLE run_entries (
    run_id text COLLATE "C" NOT NULL REFERENCES runs,
    entry_id bigint NOT NULL REFERENCES entries,
    shard_id text COLLATE "C" REFERENCES shards,
    ordinal integer CHECK (ordinal >= 0),
    PRIMARY KEY (run_id, entry_id),
    UNIQUE (run_id, shard_id, ordinal),
    CHECK ((shard_id IS NULL) = (ordinal IS NULL))
);

CREATE TABLE images (
    image_id text COLLATE "C" PRIMARY KEY CHECK (length(image_id) = 64 AND image_id !~ '[^0-9a-f]'),
    entry_id bigint NOT NULL UNIQUE REFERENCES entries,  -- the entry that was ingested; others are its duplicates
    width integer NOT NULL CHECK (width > 0),
    height integer NOT NULL CHECK (height > 0),
    format text NOT NULL,
    mode text NOT NULL,
    bytes bigint NOT NULL CHECK (bytes > 0),
    notes text,
    brightness real NOT NULL,
    contrast real NOT NULL,
    saturation real NOT NULL,
    sharpness real NOT NULL
);

CREATE TABLE outcomes (
    entry_id bigint PRIMARY KEY,
    state text NOT NULL CHECK (state IN ('ingested', 'duplicate', 'quarantined', 'rejected', 'vanished')),
    reason text CHECK (reason <> ''),
    detail text,
    notes text,
    sha256 text COLLATE "C",  -- of the bytes, if they were read whole
    image_id text COLLATE "C" REFERENCES images,
    decoded boolean NOT NULL DEFAULT false,  -- it is in its shard; when quarantined, an expectation refused it
    run_id text COLLATE "C" NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (run_id, entry_id) REFERENCES run_entries,
    CONSTRAINT accepted_has_an_image CHECK (
        CASE WHEN state IN ('ingested', 'duplicate') THEN image_id IS NOT NULL AND reason IS NULL AND decoded
             ELSE image_id IS NULL AND reason IS NOT NULL END
    ),
    CONSTRAINT image_is_its_hash CHECK (image_id = sha256),
    CONSTRAINT decoded_has_a_hash CHECK (NOT decoded OR sha256 IS NOT NULL)
);
CREATE INDEX outcomes_run ON outcomes (run_id);
-- What all the paths of an image say: those of its duplicates, beside that of the entry that was ingested.
CREATE INDEX outcomes_duplicates ON outcomes (image_id) WHERE state = 'duplicate';

-- One row a shard of a run, once it is loaded. `ok + failed` are the accepted images of the run's entries in it.
-- A shard of whose entries none was accepted is not classified: what is of a classification is null.
CREATE TABLE batches (
    run_id text COLLATE "C" NOT NULL,
    shard_id text COLLATE "C" NOT NULL REFERENCES shards,
    model_version text COLLATE "C" NOT NULL,
    expected integer NOT NULL CHECK (expected >= 0),
    ok integer NOT NULL CHECK (ok >= 0),
    failed integer NOT NULL CHECK (failed >= 0),
    shard_rows integer CHECK (shard_rows >= 0),
    missing integer NOT NULL DEFAULT 0 CHECK (missing >= 0),  -- contents settled earlier that the shard lacks
    replaced integer NOT NULL DEFAULT 0 CHECK (replaced >= 0),  -- shard rows whose entry was settled otherwise
    seconds jsonb NOT NULL DEFAULT '{}',
    versions jsonb NOT NULL DEFAULT '{}',
    device text,
    shard_sha256 text COLLATE "C",
    image_digest text,
    folder text,  -- of the attempt, relative to the store
    -- Of the attempt's result, which has those of its request and its outputs, so that all of it can be checked later.
    result_sha256 text COLLATE "C" CHECK (length(result_sha256) = 64 AND result_sha256 !~ '[^0-9a-f]'),
    loaded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, shard_id),
    UNIQUE (run_id, shard_id, model_version),
    FOREIGN KEY (run_id, model_version) REFERENCES runs (run_id, model_version),
    CONSTRAINT batch_adds_up CHECK (expected = ok + failed),
    CONSTRAINT classified_or_not CHECK (
        num_nulls(shard_rows, device, shard_sha256, folder, result_sha256) IN (0, 5)
    )
);

-- Results refer to their batch with its model version: that pins one version a run by itself.
CREATE TABLE predictions (
    image_id text COLLATE "C" REFERENCES images,
    model_version text COLLATE "C",
    label text NOT NULL,
    confidence real NOT NULL CHECK (confidence BETWEEN 0 AND 1),
    probabilities real[] NOT NULL,  -- in the order of the version's classes
    run_id text COLLATE "C" NOT NULL,
    shard_id text COLLATE "C" NOT NULL,
    predicted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (image_id, model_version),
    FOREIGN KEY (run_id, shard_id, model_version) REFERENCES batches (run_id, shard_id, model_version)
);
CREATE INDEX predictions_run ON predictions (run_id);

CREATE TABLE prediction_failures (
    run_id text COLLATE "C" NOT NULL,
    image_id text COLLATE "C" NOT NULL REFERENCES images,
    model_version text COLLATE "C" NOT NULL,
    shard_id text COLLATE "C" NOT NULL,
    reason text NOT NULL CHECK (reason <> ''),
    PRIMARY KEY (run_id, image_id),
    FOREIGN KEY (run_id, shard_id, model_version) REFERENCES batches (run_id, shard_id, model_version)
);

-- A run that was stopped may be validated again, with another result.
CREATE TABLE validation_results (
    run_id text COLLATE "C" NOT NULL REFERENCES runs,
    validation text COLLATE "C" NOT NULL,  -- of its validation.json: the same result again is no new fact
    expectation text NOT NULL,
    severity text NOT NULL CHECK (severity IN ('stop', 'quarantine', 'warn')),
    success boolean NOT NULL,
    evaluated integer NOT NULL CHECK (evaluated >= 0),
    unexpected integer NOT NULL CHECK (unexpected >= 0),
    detail text NOT NULL,
    validated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, validation, expectation)
);

CREATE TABLE closings (
    run_id text COLLATE "C" PRIMARY KEY REFERENCES runs,
    closed_at timestamptz NOT NULL DEFAULT now(),
    listed integer NOT NULL,
    ingested integer NOT NULL,
    duplicates integer NOT NULL,
    quarantined integer NOT NULL,
    rejected integer NOT NULL,
    vanished integer NOT NULL,
    classified integer NOT NULL,
    failed integer NOT NULL
);
