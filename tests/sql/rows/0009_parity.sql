-- The second version was compared in bf16, and passed.
INSERT INTO model_parity (
    run_id, version, backend, precision, device, reference, holdout, images, equal_labels, both_right, reference_right,
    runtime_right, none_right, largest_difference, golden_difference, images_per_second, processor, versions, outcome,
    sentence
)
SELECT 'parity', challenger, 'openvino', 'bf16', 'cpu', 'mxnet f32', holdout_set, 10000, 9970, 9200, 3, 2, 795, 0.08,
       0.01, 10000, 'a processor', '{}', 'pass', 'As good as the reference.'
FROM gate_plans;
