SELECT backend, precision, device, images, equal_labels, both_right, reference_right, runtime_right,
       largest_difference, images_per_second, outcome, sentence
FROM model_parity
WHERE run_id = %(run_id)s AND version = %(version)s
ORDER BY parity_id
