-- The live windows before one, the latest first, each by its latest report.
SELECT DISTINCT ON (window_end, window_start) window_start, asks
FROM drift_reports
WHERE model_version = %(model_version)s AND live AND window_end < %(window_end)s
ORDER BY window_end DESC, window_start DESC, report_id DESC
LIMIT %(windows)s
