SELECT run_id, kind, interval_start, interval_end, listed, quarantined, rejected, vanished, classified, failed,
       started_at, closed_at, seconds, images_per_second
FROM reporting.runs
ORDER BY started_at DESC
LIMIT %(limit)s
