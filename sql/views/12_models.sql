-- A number of a bundle's metrics, which say whatever its maker wrote: null unless it is one from 0 to 1.
CREATE FUNCTION reporting.share(metrics jsonb, name text) RETURNS double precision
LANGUAGE sql IMMUTABLE
RETURN CASE WHEN jsonb_typeof(metrics -> name) = 'number'
            THEN CASE WHEN (metrics -> name)::numeric BETWEEN 0 AND 1 THEN (metrics -> name)::double precision END END;

CREATE VIEW reporting.model_versions AS
SELECT version, name, network, classes, registered_at, registered_by,
       reporting.share(metrics, 'accuracy') AS accuracy,
       reporting.share(metrics, 'calibration_error') AS calibration_error,
       EXISTS (SELECT FROM champions WHERE champions.version = model_versions.version AND upper_inf(period)) AS in_use,
       bundle, metrics
FROM model_versions;

-- `trained_here` tells whether run and report are of this ledger: a bundle may have been trained elsewhere.
CREATE VIEW reporting.model_lineage AS
SELECT version, parent, training_set, holdout, recent_set, asked_by, reason, report_id, run_id, code_revision,
       image_digest, versions, parameters,
       EXISTS (SELECT FROM trainings WHERE trainings.run_id = model_lineage.run_id) AS trained_here
FROM model_lineage;

CREATE VIEW reporting.datasets AS
SELECT dataset_id, kind, images, rule, made_by, made_at
FROM datasets;

-- What two versions said of the same image, once from the side of each.
CREATE VIEW reporting.prediction_pairs AS
SELECT one.image_id, one.run_id, one.model_version AS one_version, other.model_version AS other_version,
       one.label AS one_label, one.confidence AS one_confidence,
       other.label AS other_label, other.confidence AS other_confidence,
       one.label = other.label AS agree
FROM predictions AS one
JOIN predictions AS other ON other.image_id = one.image_id AND other.model_version <> one.model_version;

-- The ground truth, as it stands.
CREATE VIEW reporting.known_labels AS
SELECT image_id, label, source
FROM image_labels;
