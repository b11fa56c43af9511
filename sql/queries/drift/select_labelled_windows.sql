-- Windows of the champion whose live report had too few labels to judge its accuracy by them, and that have enough by
-- now: of the last days. Labels are counted as a report does, of the images that it compares (select_window_predictions).
-- It may find too few of them different from each other: then the window waits for more.
WITH reported AS (
    SELECT window_start, window_end, model_version, classes
    FROM drift_reports
    JOIN champions ON version = model_version AND period @> now()
    JOIN model_versions USING (version)
    WHERE live AND made_at >= window_end AND window_end > now() - %(days)s * interval '1 day'
    GROUP BY window_start, window_end, model_version, classes
    HAVING coalesce(max((report #>> '{drift,realized,labelled}')::integer), 0) < %(labels)s
),
told AS MATERIALIZED (  -- drops of which anything was said: most windows have none
    SELECT DISTINCT drop_at
    FROM labels
    JOIN outcomes USING (image_id)
    JOIN entries USING (entry_id)
    WHERE drop_at >= (SELECT min(window_start) FROM reported)
)
SELECT window_start, window_end, model_version
FROM reported
CROSS JOIN LATERAL (
    SELECT count(*) AS labelled
    FROM (
        SELECT image_id
        FROM (
            SELECT DISTINCT image_id
            FROM entries
            JOIN outcomes USING (entry_id)
            WHERE drop_at >= window_start AND drop_at < window_end AND image_id IS NOT NULL
        ) AS landed
        JOIN predictions USING (image_id)
        WHERE predictions.model_version = reported.model_version
        ORDER BY image_id
        LIMIT %(rows)s
    ) AS compared
    JOIN image_labels USING (image_id)
    WHERE label = ANY (classes)
      AND (
          source = 'path'
          OR NOT EXISTS (
              SELECT FROM audit_images WHERE audit_images.image_id = compared.image_id AND chosen = 'uncertain'
          )
      )
) AS now
WHERE EXISTS (SELECT FROM told WHERE drop_at >= window_start AND drop_at < window_end)
  AND labelled >= %(labels)s
  AND NOT EXISTS (
      SELECT
      FROM drift_reports
      WHERE drift_reports.window_start = reported.window_start AND drift_reports.window_end = reported.window_end
        AND drift_reports.model_version = reported.model_version AND drift_reports.labelled >= now.labelled
        AND coalesce((report #>> '{drift,realized,labelled}')::integer, 0) < %(labels)s
  )
ORDER BY window_end, window_start
