-- Runs of the last days whose predictions nobody was asked to check yet. Backfills score history: nobody is asked then.
SELECT run_id
FROM closings
JOIN runs USING (run_id)
LEFT JOIN audit_samples USING (run_id)
WHERE closed_at > now() - %(days)s * interval '1 day' AND kind <> 'backfill' AND audit_samples.run_id IS NULL
ORDER BY closed_at
