-- Each accepted image of a closed run has exactly one result for the run's model: a prediction, whoever made it, or a
-- failure of this run. A failed image may be predicted by another run, but not by the one in which it failed.
SELECT run_images.run_id, image_id, model_version, predicted_by, failure
FROM run_images
JOIN closings ON closings.run_id = run_images.run_id
WHERE predicted_by IS NULL AND failure IS NULL
   OR failure IS NOT NULL AND predicted_by = run_images.run_id
