-- Who may do what, given anew after every migration. The app inserts facts; nobody but the owner changes any.
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO strandline_app, strandline_analyst', current_database());
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO strandline_app', current_database());
END
$$;

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM strandline_app, strandline_analyst;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO strandline_app;
GRANT INSERT ON
    model_versions, drops, entries, runs, shards, run_entries, images, outcomes, batches, predictions,
    prediction_failures, validation_results, closings, drift_reports,
    label_files, label_rejections, labels, audit_samples, audit_images
    TO strandline_app;
GRANT INSERT ON datasets, dataset_images, model_lineage TO strandline_app;
GRANT INSERT ON gates, gate_results, watches TO strandline_app;
GRANT INSERT ON replays TO strandline_app;
GRANT EXECUTE ON FUNCTION install_first_champion, decide, promote, roll_back TO strandline_app;

GRANT USAGE ON SCHEMA reporting TO strandline_app, strandline_analyst;
GRANT SELECT ON ALL TABLES IN SCHEMA reporting TO strandline_app, strandline_analyst;
GRANT SELECT ON category_results TO strandline_analyst;
