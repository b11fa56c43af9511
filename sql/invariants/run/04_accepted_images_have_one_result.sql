-- Each accepted image of a closed run has exactly one result for the run's model: a prediction, whoever made it, or a
-- failure of this run. A failed image may be predicted by another run, but not by the one in which it failed.
SELECT DISTINCT
       run_images.run_id, run_images.image_id, runs.model_version,
       predictions.run_id AS predicted_by, prediction_failures.reason AS failure
FROM run_images
JOIN closings ON closings.run_id = run_images.run_id
JOIN runs ON runs.run_id = run_images.run_id
LEFT JOIN predictions
    ON predictions.image_id = run_images.image_id AND predictions.model_version = runs.model_version
LEFT JOIN prediction_failures
    ON prediction_failures.run_id = run_images.run_id AND prediction_failures.image_id = run_images.image_id
WHERE predictions.run_id IS NULL AND prediction_failures.reason IS NULL
   OR prediction_failures.reason IS NOT NULL AND predictions.run_id = run_images.run_id
