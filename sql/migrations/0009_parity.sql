-- One row for each runtime and run that measured it: whether a model version answers in it as the reference does. A
-- version may be used in bf16 only if the last row of that says `pass`; in f32 also if there is none, since each process
-- compares its answers with the bundle's golden images before any other.
CREATE TABLE model_parity (
    parity_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id text COLLATE "C" NOT NULL,  -- of check_parity or retrain_model
    version text COLLATE "C" NOT NULL REFERENCES model_versions,
    backend text COLLATE "C" NOT NULL,
    precision text COLLATE "C" NOT NULL,
    device text COLLATE "C" NOT NULL,
    reference text NOT NULL,  -- backend and precision that it is compared with
    holdout text COLLATE "C" NOT NULL REFERENCES datasets,
    images integer NOT NULL CHECK (images > 0),
    equal_labels integer NOT NULL CHECK (equal_labels BETWEEN 0 AND images),
    both_right integer NOT NULL CHECK (both_right >= 0),
    reference_right integer NOT NULL CHECK (reference_right >= 0),  -- and the runtime wrong
    runtime_right integer NOT NULL CHECK (runtime_right >= 0),  -- and the reference wrong
    none_right integer NOT NULL CHECK (none_right >= 0),
    largest_difference double precision NOT NULL CHECK (largest_difference BETWEEN 0 AND 1),  -- of a probability
    golden_difference double precision CHECK (golden_difference BETWEEN 0 AND 1),  -- null: the bundle has no golden images
    images_per_second double precision NOT NULL CHECK (images_per_second > 0),
    processor text NOT NULL,
    versions jsonb NOT NULL,  -- of what decides the values
    outcome text NOT NULL CHECK (outcome IN ('pass', 'fail', 'not enough evidence')),
    sentence text NOT NULL CHECK (sentence ~ '\S'),
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT a_run_measures_a_runtime_once UNIQUE (version, backend, precision, device, run_id),
    CONSTRAINT parity_accounts_for_every_image
        CHECK (images = both_right + reference_right + runtime_right + none_right AND equal_labels >= both_right),
    -- That accuracy is not inferior, statistics say; this much can be seen.
    CONSTRAINT parity_is_not_passed_by_other_answers CHECK (
        outcome <> 'pass'
        OR CASE precision
            WHEN 'f32' THEN equal_labels >= 0.9999 * images AND largest_difference <= 0.0001
            ELSE equal_labels >= 0.995 * images END
    )
);
