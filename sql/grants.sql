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
            'strandline_ingest', 'strandline_labels', 'strandline_people', 'strandline_training', 'strandline_gate',
            'strandline_promotion', 'strandline_serving', 'strandline_analyst'
        )
    LOOP
        EXECUTE format('REVOKE ALL ON DATABASE %I FROM %I', current_database(), role);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM %I', role);
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA reporting FROM %I', role);
        EXECUTE format('REVOKE ALL ON SCHEMA reporting FROM %I', role);
        EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM %I', role);
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
        EXECUTE format('GRANT USAGE ON SCHEMA reporting TO %I', role);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA reporting TO %I', role);
        IF role <> 'strandline_analyst' THEN
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
GRANT EXECUTE ON FUNCTION forget_served TO strandline_ingest;
-- What files say, whose words have their source by default, and what people say: the one cannot speak as the other.
GRANT INSERT ON label_files, label_rejections, label_waits, label_wait_ends, audit_samples, audit_images TO strandline_labels;
GRANT INSERT (image_id, labeller, labelled_at, label, file_id, line) ON labels TO strandline_labels;
GRANT INSERT (image_id, source, labeller, label) ON labels TO strandline_people;
GRANT INSERT, UPDATE (until, skipped) ON label_claims TO strandline_people;
GRANT EXECUTE ON FUNCTION discard, create_consumer, revoke_consumer TO strandline_people;
GRANT INSERT ON model_versions, model_lineage, model_parity, datasets, dataset_images, trainings TO strandline_training;
-- When a gate was held is for the database to say.
GRANT INSERT (
    gate_id, challenger, champion, holdout_set, recent_set, checks, outcome, sentence, rules, folder, html_sha256,
    requested_by, approvers, answer_by
) ON gates TO strandline_gate;
GRANT INSERT ON gate_plans, gate_results, champion_checks TO strandline_gate;
GRANT EXECUTE ON FUNCTION install_first_champion, record_approval, promote, roll_back TO strandline_promotion;
GRANT EXECUTE ON FUNCTION start_rollout, step_rollout, ask_rollout, answer_rollout, end_rollout TO strandline_promotion;
-- What serving processes answered, line by line, and how far their spools are loaded. What applications say becomes a label
-- by the function alone, so in nobody else's name.
GRANT INSERT ON served_predictions, served_feedback, served_refused_lines TO strandline_serving;
GRANT INSERT, UPDATE (segment, bytes, last_sequence, loaded_at, complete_at) ON serving_spools TO strandline_serving;
GRANT INSERT, UPDATE (problem, since) ON offered_bundles TO strandline_serving;
GRANT EXECUTE ON FUNCTION label_feedback TO strandline_serving;

GRANT UPDATE (taken) ON locks TO strandline_ingest, strandline_labels, strandline_training;
GRANT UPDATE (taken) ON label_turns TO strandline_people;

GRANT SELECT ON category_results TO strandline_analyst;
