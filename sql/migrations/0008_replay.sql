-- One row a run of replay_window: a past window classified again, and compared with what was recorded. What a replay
-- found changes no prediction.
CREATE TABLE replays (
    run_id text COLLATE "C" PRIMARY KEY,  -- of replay_window
    window_start timestamptz NOT NULL,
    window_end timestamptz NOT NULL,
    model_version text COLLATE "C" REFERENCES model_versions,  -- null: for each image, the one that had classified it
    images integer NOT NULL CHECK (images > 0),
    missing integer NOT NULL CHECK (missing >= 0),  -- could not be replayed
    equal integer NOT NULL CHECK (equal >= 0),
    within_tolerance integer NOT NULL CHECK (within_tolerance >= 0),
    different integer NOT NULL CHECK (different >= 0),
    unrecorded integer NOT NULL CHECK (unrecorded >= 0),  -- the version had no prediction to compare with
    unequal integer NOT NULL CHECK (unequal BETWEEN different AND within_tolerance + different),  -- and must not be
    status text NOT NULL CHECK (status IN ('equal', 'within tolerance', 'unequal', 'not compared', 'not replayed')),
    sentence text NOT NULL,
    report jsonb NOT NULL,  -- replay.json
    folder text NOT NULL,  -- relative to the store
    html_sha256 text COLLATE "C" NOT NULL CHECK (length(html_sha256) = 64 AND html_sha256 !~ '[^0-9a-f]'),
    replayed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT replayed_window_goes_forward CHECK (window_start < window_end),
    CONSTRAINT replay_accounts_for_every_image
        CHECK (images = missing + equal + within_tolerance + different + unrecorded),
    CONSTRAINT status_follows_from_the_counts CHECK (
        status = CASE WHEN unequal > 0 THEN 'unequal'
                       WHEN missing = images THEN 'not replayed'
                       WHEN within_tolerance > 0 THEN 'within tolerance'
                       WHEN equal > 0 THEN 'equal'
                       ELSE 'not compared' END
    )
);
