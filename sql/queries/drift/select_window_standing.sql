-- Whether a window may alarm, and which report a new one of it replaces. A live report that was made before its window
-- had ended was of a part of it: the next one of that window is live, too. One that has not begun, of a mistyped year,
-- overtakes none.
SELECT %(window_start)s <= now() AS begun,
       EXISTS (SELECT FROM champions WHERE version = %(model_version)s AND period @> now()) AS in_use,
       EXISTS (
           SELECT FROM drift_reports
           WHERE model_version = %(model_version)s AND live AND window_end > %(window_end)s AND window_start <= now()
       ) AS overtaken,
       whole.verdict AS reported,
       whole.labelled,  -- images that its accuracy could be judged by
       latest.report_id AS replaces,
       latest.made_at AS replaced_at
FROM (SELECT) AS nothing
LEFT JOIN LATERAL (
    SELECT report -> 'verdict' AS verdict, coalesce((report #>> '{drift,realized,labelled}')::integer, 0) AS labelled
    FROM drift_reports
    WHERE model_version = %(model_version)s AND live AND made_at >= window_end
      AND window_start = %(window_start)s AND window_end = %(window_end)s
    ORDER BY report_id DESC
    LIMIT 1
) AS whole ON true
LEFT JOIN LATERAL (
    SELECT report_id, made_at
    FROM drift_reports
    WHERE model_version = %(model_version)s AND window_start = %(window_start)s AND window_end = %(window_end)s
    ORDER BY report_id DESC
    LIMIT 1
) AS latest ON true
