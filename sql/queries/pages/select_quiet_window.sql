-- The last window before that of a report in which nothing was found, by the same version.
SELECT earlier.report_id, earlier.window_start, earlier.window_end, earlier.images
FROM reporting.drift AS this
JOIN reporting.drift AS earlier
  ON earlier.model_version = this.model_version AND earlier.window_end <= this.window_start
WHERE this.report_id = %(report_id)s AND earlier.latest AND earlier.action = 'none' AND earlier.images > 0
ORDER BY earlier.window_end DESC, earlier.report_id DESC
LIMIT 1
