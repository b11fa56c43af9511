SELECT report_id, window_start, window_end, model, model_version, action, enough, sentence, held_back, live, latest,
       replaces, images, compared, labelled, near_duplicates,
       label_shift, label_shift_distance, label_shift_distance_low, label_shift_distance_high, label_shift_p_value,
       embedding_drift, embedding_drift_distance, embedding_drift_p_value, alpha,
       accuracy_fell, expected_accuracy, estimated_accuracy, estimated_accuracy_low, estimated_accuracy_high,
       realized_accuracy, realized_accuracy_low, realized_accuracy_high, folder, made_at, most_changed
FROM reporting.drift
WHERE report_id = %(report_id)s
