-- Those that began in the same moment are all on one page: the next one goes on before it.
SELECT run_id, kind, interval_start, interval_end, model, model_version, listed, ingested, duplicates, quarantined,
       rejected, vanished, classified, failed, started_at, closed_at, seconds, images_per_second
FROM reporting.runs
WHERE (%(before)s::timestamptz IS NULL OR started_at < %(before)s)
  AND (%(kind)s = '' OR kind = %(kind)s)
  AND (%(books)s = '' OR (closed_at IS NULL) = (%(books)s = 'open'))
ORDER BY started_at DESC
FETCH FIRST %(limit)s ROWS WITH TIES
