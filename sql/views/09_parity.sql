-- One row for each runtime and run that measured it; `latest` marks what decides whether the version may be used so.
CREATE VIEW reporting.parity AS
SELECT model_versions.name AS model, version, backend, precision, device, outcome, sentence, reference, images,
       equal_labels::double precision / images AS equal_labels,
       largest_difference, golden_difference,
       (both_right + runtime_right)::double precision / images AS accuracy,
       (both_right + reference_right)::double precision / images AS reference_accuracy,
       images_per_second, processor, run_id, recorded_at,
       parity_id = max(parity_id) OVER (PARTITION BY version, backend, precision, device) AS latest
FROM model_parity
JOIN model_versions USING (version);
