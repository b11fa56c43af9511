SELECT report_id, action, sentence, held_back, live, folder, images
FROM drift_reports
WHERE run_id = %(run_id)s AND model_version = %(model_version)s
  AND window_start = %(window_start)s AND window_end = %(window_end)s
