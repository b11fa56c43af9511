-- When the windows begin that ask for a retraining, of the last live ones up to a report.
SELECT min(earlier.window_start) AS since
FROM drift_reports AS asked
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (window_end, window_start) window_start, asks
    FROM drift_reports
    WHERE model_version = asked.model_version AND live AND window_end <= asked.window_end
    ORDER BY window_end DESC, window_start DESC, report_id DESC
    LIMIT %(windows)s
) AS earlier
WHERE asked.report_id = %(report_id)s AND earlier.asks
