-- A report of each drop, as large as reports are.
INSERT INTO drift_reports (
    run_id, window_start, window_end, model_version, live, images, compared, labelled, action, asks, sentence, report,
    folder, html_sha256, made_at
)
SELECT replace(run_id, 'scheduled', 'asset_triggered'), since, since + interval '1 hour', encode(sha256('champion'), 'hex'),
       true, classified, classified, 20, action, false, 'Nothing that is worth a word has changed.',
       jsonb_build_object(
           'drift', jsonb_build_object(
               'alpha', 0.001, 'duplicates', 5,
               'label_shift', jsonb_build_object('p_value', 0.3, 'distance', jsonb_build_object('value', 0.03, 'low', 0.02, 'high', 0.05)),
               'embedding_drift', jsonb_build_object('distance', 0.01 + number %% 7 / 100.0, 'p_value', 0.2),
               'estimated', jsonb_build_object('expected', 0.91, 'estimate', jsonb_build_object('value', 0.9, 'low', 0.88, 'high', 0.92)),
               'realized', jsonb_build_object('estimate', jsonb_build_object('value', 0.9, 'low', 0.8, 'high', 0.95))
           ),
           'verdict', jsonb_build_object('label_shift', action <> 'none', 'embedding_drift', false, 'accuracy_fell', false, 'enough', true),
           'most_changed', '[]'::jsonb,
           'slices', (SELECT jsonb_agg(encode(sha256(int4send(number * 300 + part)), 'hex')) FROM generate_series(1, 300) AS part)
       ),
       'drift/' || number, encode(sha256('report'), 'hex'), started_at + interval '10 minutes'
FROM planned_runs
JOIN closings USING (run_id)
CROSS JOIN LATERAL (SELECT CASE WHEN number %% 20 = 0 THEN 'warn' ELSE 'none' END AS action) AS verdict
