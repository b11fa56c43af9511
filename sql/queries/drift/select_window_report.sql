-- The report of a window that people should look at: the live one, if there was any.
SELECT action, sentence, held_back, folder
FROM drift_reports
WHERE window_start = %(window_start)s AND window_end = %(window_end)s
ORDER BY live DESC, report_id DESC
LIMIT 1
