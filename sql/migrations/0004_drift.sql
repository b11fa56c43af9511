-- One row a report. A window is [start, end) of landing periods. The same run of report_drift makes a window's report
-- once.
CREATE TABLE drift_reports (
    report_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id text COLLATE "C" NOT NULL,  -- of report_drift
    window_start timestamptz NOT NULL,
    window_end timestamptz NOT NULL,
    model_version text COLLATE "C" NOT NULL REFERENCES model_versions,
    live boolean NOT NULL,  -- it may alarm: neither backfilled, replayed nor made again
    replaces bigint REFERENCES drift_reports,  -- the report of the same window and version before it
    images integer NOT NULL CHECK (images >= 0),
    compared integer NOT NULL CHECK (compared BETWEEN 0 AND images),
    labelled integer NOT NULL CHECK (labelled BETWEEN 0 AND compared),
    action text NOT NULL CHECK (action IN ('none', 'warn', 'retrain')),
    asks boolean NOT NULL,  -- by itself, the window is a reason to retrain
    sentence text NOT NULL,
    held_back text,  -- why no retraining was requested although it is due
    report jsonb NOT NULL,  -- report.json
    folder text NOT NULL,  -- relative to the store
    html_sha256 text COLLATE "C" NOT NULL CHECK (length(html_sha256) = 64 AND html_sha256 !~ '[^0-9a-f]'),
    made_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT window_goes_forward CHECK (window_start < window_end),
    CONSTRAINT only_live_windows_ask CHECK (live OR action <> 'retrain'),
    UNIQUE (run_id, window_start, window_end, model_version)
);
CREATE INDEX drift_reports_window ON drift_reports (model_version, window_end);
