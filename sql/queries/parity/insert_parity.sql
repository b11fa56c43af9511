INSERT INTO model_parity (
    run_id, version, backend, precision, device, reference, holdout, images, equal_labels, both_right, reference_right,
    runtime_right, none_right, largest_difference, golden_difference, images_per_second, processor, versions, outcome,
    sentence
)
VALUES (
    %(run_id)s, %(version)s, %(backend)s, %(precision)s, %(device)s, %(reference)s, %(holdout)s, %(images)s,
    %(equal_labels)s, %(both_right)s, %(reference_right)s, %(runtime_right)s, %(none_right)s, %(largest_difference)s,
    %(golden_difference)s, %(images_per_second)s, %(processor)s, %(versions)s, %(outcome)s, %(sentence)s
)
ON CONFLICT (version, backend, precision, device, run_id) DO NOTHING
