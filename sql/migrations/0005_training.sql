-- What a run of retrain_model is about: the steps after its plan read it here. A training that is planned again has
-- another row, of which the last counts.
CREATE TABLE trainings (
    training_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id text COLLATE "C" NOT NULL,  -- of retrain_model
    asked_by text NOT NULL CHECK (asked_by ~ '\S'),
    reason text NOT NULL CHECK (reason ~ '\S'),
    report_id bigint REFERENCES drift_reports,  -- that asked, if no person did
    parent text COLLATE "C" NOT NULL REFERENCES model_versions,
    training_set text COLLATE "C" NOT NULL REFERENCES datasets,
    holdout text COLLATE "C" NOT NULL REFERENCES datasets,
    recent_set text COLLATE "C" NOT NULL REFERENCES datasets,
    planned_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX trainings_run ON trainings (run_id);
