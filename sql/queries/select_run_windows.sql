-- The interval of each run, and other hours of which it predicted images: late files.
SELECT interval_start AS window_start, interval_end AS window_end, model_version, kind <> 'backfill' AS alarms,
       false AS late
FROM runs
WHERE run_id = ANY (%(run_ids)s)
UNION
SELECT drop_at, drop_at + interval '1 hour', predictions.model_version, false, true
FROM predictions
JOIN runs USING (run_id)
JOIN images USING (image_id)
JOIN entries USING (entry_id)
WHERE predictions.run_id = ANY (%(run_ids)s) AND NOT (drop_at >= interval_start AND drop_at < interval_end)
ORDER BY window_end, window_start
