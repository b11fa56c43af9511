SELECT backend, precision, device, outcome, sentence, reference, images, equal_labels, largest_difference, accuracy,
       reference_accuracy, images_per_second, processor, run_id, recorded_at
FROM reporting.parity
WHERE version = %(version)s AND latest
ORDER BY backend, precision, device
