-- The interval of each run, and other drops of which it predicted images: late files. Of the runs that are given, and of
-- those that closed since the first of them and were not reported since. While a run of report_drift waits or works,
-- Airflow starts none for the second one that closes meanwhile, before a third one does.
WITH chosen AS (
    SELECT run_id, interval_start, interval_end, model_version, kind
    FROM runs
    LEFT JOIN closings USING (run_id)
    WHERE run_id = ANY (%(run_ids)s)
       OR closed_at >= (SELECT min(closed_at) FROM closings WHERE run_id = ANY (%(run_ids)s))
      AND NOT EXISTS (
          SELECT FROM drift_reports
          WHERE drift_reports.model_version = runs.model_version AND made_at >= closed_at
            AND window_start = interval_start AND window_end = interval_end
      )
)
SELECT interval_start AS window_start, interval_end AS window_end, model_version, kind <> 'backfill' AS alarms,
       false AS late
FROM chosen
UNION
SELECT drop_at, drop_end, predictions.model_version, false, true
FROM predictions
JOIN chosen USING (run_id)
JOIN images USING (image_id)
JOIN entries USING (entry_id)
JOIN drops USING (source, drop_at)
WHERE NOT (drop_at >= interval_start AND drop_at < interval_end)
ORDER BY window_end, window_start
