-- All that are registered, the newest first, with what each has classified and where it comes from.
SELECT model_versions.version, name, network, registered_at, registered_by, accuracy, calibration_error, in_use,
       coalesce(classified, 0) AS classified, parent, asked_by, reason, model_lineage.run_id, trained_here
FROM reporting.model_versions
LEFT JOIN reporting.model_lineage USING (version)
LEFT JOIN (
    SELECT model_version AS version, sum(runs.classified)::bigint AS classified
    FROM reporting.runs
    GROUP BY model_version
) AS work USING (version)
ORDER BY registered_at DESC, version
