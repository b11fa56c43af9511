-- The last report that asks for a retraining, unless a challenger was trained for it, or for a later one.
SELECT report_id, sentence
FROM drift_reports
WHERE action = 'retrain' AND held_back IS NULL AND made_at > now() - interval '7 days'
  AND NOT EXISTS (SELECT FROM model_lineage WHERE model_lineage.report_id >= drift_reports.report_id)
ORDER BY report_id DESC
LIMIT 1
