-- The live windows before and after one, so many each, in the order of time; each by its latest live report.
WITH live AS (
    SELECT DISTINCT ON (window_end, window_start) window_start, window_end, asks
    FROM drift_reports
    WHERE model_version = %(model_version)s AND live
    ORDER BY window_end, window_start, report_id DESC
),
before AS (
    SELECT * FROM live WHERE window_end < %(window_end)s ORDER BY window_end DESC, window_start DESC LIMIT %(windows)s
),
after AS (
    SELECT * FROM live WHERE window_end > %(window_end)s ORDER BY window_end, window_start LIMIT %(windows)s
)
SELECT window_start, window_end, asks, true AS earlier FROM before
UNION ALL
SELECT window_start, window_end, asks, false FROM after
ORDER BY window_end, window_start
