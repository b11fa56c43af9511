-- The accepted images of each run, by shard, and what became of each for the run's model: `predicted_by` is the run that
-- made the prediction, this one or another; `failure` is this run's.
CREATE VIEW run_images AS
SELECT accepted.run_id, accepted.shard_id, accepted.image_id, runs.model_version,
       predictions.run_id AS predicted_by, prediction_failures.reason AS failure
FROM (
    SELECT DISTINCT run_entries.run_id, run_entries.shard_id, outcomes.image_id
    FROM run_entries
    JOIN outcomes ON outcomes.entry_id = run_entries.entry_id
    WHERE outcomes.image_id IS NOT NULL
) AS accepted
JOIN runs ON runs.run_id = accepted.run_id
LEFT JOIN predictions
    ON predictions.image_id = accepted.image_id AND predictions.model_version = runs.model_version
LEFT JOIN prediction_failures
    ON prediction_failures.run_id = accepted.run_id AND prediction_failures.image_id = accepted.image_id;
