-- Who may do what, given again after every migration. A role a duty: it inserts what is its own, and reads all. Nobody
-- but the owner changes a fact; approvals and the champion change by the functions of one role alone.
DO $$
DECLARE
    role text;
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    FOR role IN
        SELECT rolname
        FROM pg_roles
        WHERE rolname IN (
            'strandline_ingest', 'strandline_labels', 'strandline_training', 'strandline_gate', 'strandline_promotion',
            'strandline_analyst',
            'strandline_app'  -- of earlier versions, which could do all of it
        )
    LOOP
        EXECUTE format('REVOKE ALL ON DATABASE %I FROM %I', current_database(), role);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', role);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA reporting FROM %I', role);
        EXECUTE format('REVOKE ALL ON SCHEMA reporting FROM %I', role);
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM %I', role);
        IF role <> 'strandline_app' THEN
            EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
            EXECUTE format('GRANT USAGE ON SCHEMA reporting TO %I', role);
            EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA reporting TO %I', role);
        END IF;
        IF role NOT IN ('strandline_app', 'strandline_analyst') THEN
            EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA public TO %I', role);
        END IF;
        IF role IN ('strandline_ingest', 'strandline_labels') THEN
            EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO %I', current_database(), role);  -- to stage rows
        END IF;
    END LOOP;
END
$$;

-- What landed, what became of it, and what was measured of it.
GRANT INSERT ON
    drops, entries, runs, shards, run_entries, images, outcomes, batches, predictions, prediction_failures,
    validation_results, closings, drift_reports, replays
    TO strandline_ingest;
GRANT INSERT ON
    label_files, label_rejections, label_waits, label_wait_ends, labels, audit_samples, audit_images
    TO strandline_labels;
GRANT INSERT ON model_versions, model_lineage, datasets, dataset_images TO strandline_training;
GRANT INSERT ON gates, gate_results, watches TO strandline_gate;
GRANT EXECUTE ON FUNCTION install_first_champion, decide, promote, roll_back TO strandline_promotion;

GRANT SELECT ON category_results TO strandline_analyst;
