-- What a ledger of the first schema held: a row, at least, of each table. Its books are closed, and all invariants hold.
CREATE FUNCTION pg_temp.digest(name text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN encode(sha256(convert_to(name, 'UTF8')), 'hex');

INSERT INTO model_versions (version, name, network, classes, bundle, metrics, registered_by)
SELECT pg_temp.digest(name), name, 'a network', '{cat,dog}', 'models/' || name, '{"accuracy": 0.9}', 'trainer'
FROM unnest('{first,second}'::text[]) AS name;
INSERT INTO datasets (dataset_id, kind, images, labels, shards, rule, made_by)
SELECT pg_temp.digest(kind), kind, 1, 'datasets/' || kind || '.parquet', '[]', '{}', 'retrain_model'
FROM unnest('{training,holdout,recent}'::text[]) AS kind;
INSERT INTO dataset_images (dataset_id, image_id, label)
SELECT pg_temp.digest(kind), pg_temp.digest('an image of ' || kind), 'cat'
FROM unnest('{training,holdout,recent}'::text[]) AS kind;
SELECT install_first_champion(pg_temp.digest('first'), 'make up');

-- An hour: cat.jpg and its copy, dog.jpg, whose classification fails, and a file that is no image.
INSERT INTO drops (drop_at, drop_end) VALUES ('2026-11-21 08:00+00', '2026-11-21 09:00+00');
INSERT INTO entries (drop_at, name, version, display_name, path_label, size, modified_at)
SELECT '2026-11-21 08:00+00', convert_to(name, 'UTF8'), '100-1', name, 'cat', 100, '2026-11-21 08:10+00'
FROM unnest('{cat.jpg,copy.jpg,dog.jpg,readme.txt}'::text[]) AS name;
INSERT INTO runs (run_id, kind, interval_start, interval_end, model_version, files_seen, known, deferred, listed, future)
VALUES ('an hour', 'scheduled', '2026-11-21 08:00+00', '2026-11-21 09:00+00', pg_temp.digest('first'), 6, 1, 1, 4, 1);
INSERT INTO shards (shard_id, entries) VALUES (pg_temp.digest('shard'), 3);
INSERT INTO run_entries (run_id, entry_id, shard_id, ordinal)
VALUES ('an hour', 1, pg_temp.digest('shard'), 0), ('an hour', 2, pg_temp.digest('shard'), 1),
       ('an hour', 3, pg_temp.digest('shard'), 2), ('an hour', 4, NULL, NULL);
INSERT INTO images (image_id, entry_id, width, height, format, mode, bytes, brightness, contrast, saturation, sharpness)
VALUES (pg_temp.digest('cat.jpg'), 1, 32, 32, 'JPEG', 'RGB', 100, 0.5, 0.5, 0.5, 0.5),
       (pg_temp.digest('dog.jpg'), 3, 32, 32, 'JPEG', 'RGB', 100, 0.5, 0.5, 0.5, 0.5);
INSERT INTO outcomes (entry_id, state, reason, sha256, image_id, decoded, run_id)
VALUES (1, 'ingested', NULL, pg_temp.digest('cat.jpg'), pg_temp.digest('cat.jpg'), true, 'an hour'),
       (2, 'duplicate', NULL, pg_temp.digest('cat.jpg'), pg_temp.digest('cat.jpg'), true, 'an hour'),
       (3, 'ingested', NULL, pg_temp.digest('dog.jpg'), pg_temp.digest('dog.jpg'), true, 'an hour'),
       (4, 'rejected', 'NOT_IMAGE', NULL, NULL, false, 'an hour');
INSERT INTO batches (
    run_id, shard_id, model_version, expected, ok, failed, shard_rows, device, shard_sha256, folder, result_sha256
)
VALUES ('an hour', pg_temp.digest('shard'), pg_temp.digest('first'), 2, 1, 1, 2, 'cpu', pg_temp.digest('shard'),
        'runs/an hour/classify', pg_temp.digest('result'));
INSERT INTO predictions (image_id, model_version, label, confidence, probabilities, run_id, shard_id)
VALUES (pg_temp.digest('cat.jpg'), pg_temp.digest('first'), 'cat', 0.75, '{0.75,0.25}', 'an hour',
        pg_temp.digest('shard'));
INSERT INTO prediction_failures (run_id, image_id, model_version, shard_id, reason)
VALUES ('an hour', pg_temp.digest('dog.jpg'), pg_temp.digest('first'), pg_temp.digest('shard'), 'NOT_FINITE');
INSERT INTO validation_results (run_id, validation, expectation, severity, success, evaluated, unexpected, detail)
VALUES ('an hour', pg_temp.digest('validation'), 'expect_size', 'warn', true, 3, 0, 'as expected');
INSERT INTO closings (run_id, listed, ingested, duplicates, quarantined, rejected, vanished, classified, failed)
VALUES ('an hour', 4, 2, 1, 0, 1, 0, 1, 1);

-- A label file with a row that is taken, one that is rejected, and one that has waited; and what a person says.
INSERT INTO label_files (
    name, version, display_name, size, modified_at, state, sha256, model_version, rows_read, accepted, rejected, waiting,
    reasons, run_id
)
VALUES ('labels.csv', '100-1', 'labels.csv', 100, '2026-11-21 09:00+00', 'loaded', pg_temp.digest('labels.csv'),
        pg_temp.digest('first'), 3, 1, 1, 1, '{"UNKNOWN_LABEL": 1}', 'labelling');
INSERT INTO label_rejections (file_id, line, reason, detail, shown) VALUES (1, 3, 'UNKNOWN_LABEL', 'no class', 'cat.jpg,car');
INSERT INTO label_waits (file_id, line, image_id, label, labeller, labelled_at, shown)
VALUES (1, 4, pg_temp.digest('dog.jpg'), 'dog', 'ann', '2026-11-21 09:00+00', 'dog.jpg,dog');
INSERT INTO label_wait_ends (file_id, line, state, run_id) VALUES (1, 4, 'accepted', 'labelling');
INSERT INTO labels (image_id, source, labeller, labelled_at, label, file_id, line)
VALUES (pg_temp.digest('cat.jpg'), 'file', 'ann', '2026-11-21 09:00+00', 'cat', 1, 2),
       (pg_temp.digest('dog.jpg'), 'file', 'ann', '2026-11-21 09:00+00', 'dog', 1, 4),
       (pg_temp.digest('cat.jpg'), 'person', 'bob', '2026-11-21 10:00+00', 'dog', NULL, NULL);
INSERT INTO audit_samples (run_id, seed, population, random, uncertain) VALUES ('an hour', 'a seed', 1, 1, 0);
INSERT INTO audit_images (run_id, image_id, chosen, margin)
VALUES ('an hour', pg_temp.digest('cat.jpg'), 'random', 0.5);

-- A report asks for a retraining.
INSERT INTO drift_reports (
    run_id, window_start, window_end, model_version, live, images, compared, labelled, action, asks, sentence, report,
    folder, html_sha256
)
VALUES ('drift', '2026-11-21 08:00+00', '2026-11-21 09:00+00', pg_temp.digest('first'), true, 2, 1, 1, 'retrain', true,
        'Accuracy fell.', '{}', 'drift/a window', pg_temp.digest('a page'));
INSERT INTO trainings (run_id, asked_by, reason, report_id, parent, training_set, holdout, recent_set)
VALUES ('training', 'report_drift', 'Accuracy fell.', 1, pg_temp.digest('first'), pg_temp.digest('training'),
        pg_temp.digest('holdout'), pg_temp.digest('recent'));
INSERT INTO model_lineage (
    version, parent, training_set, holdout, recent_set, asked_by, reason, report_id, run_id, code_revision, versions,
    parameters
)
VALUES (pg_temp.digest('second'), pg_temp.digest('first'), pg_temp.digest('training'), pg_temp.digest('holdout'),
        pg_temp.digest('recent'), 'report_drift', 'Accuracy fell.', 1, 'training', 'a revision', '{}', '{}');

-- The challenger passes its gate, is approved and promoted, found worse, and rolled back.
INSERT INTO approvers (name) VALUES ('op');
INSERT INTO gate_plans (gate_id, challenger, champion, holdout_set, recent_set, requested_by)
VALUES ('gate', pg_temp.digest('second'), pg_temp.digest('first'), pg_temp.digest('holdout'), pg_temp.digest('recent'),
        'user');
INSERT INTO gates (
    gate_id, challenger, champion, holdout_set, recent_set, checks, outcome, sentence, rules, folder, html_sha256,
    requested_by, approvers, answer_by
)
SELECT gate_id, challenger, champion, holdout_set, recent_set, 1, 'pass', 'It passed.', '{}', 'gates/gate',
       pg_temp.digest('a page'), requested_by, '{op}', clock_timestamp() + interval '1 day'
FROM gate_plans;
INSERT INTO gate_results (gate_id, check_name, outcome, sentence, found, low, high, bound, allowed, unit, measured_on)
VALUES ('gate', 'holdout', 'pass', 'Better.', 0.02, 0.01, 0.03, 0, 'above', 'points', 'holdout');
SELECT record_approval('gate', 'approved', 'op', 'looks good', clock_timestamp());
SELECT promote('gate', pg_temp.digest('first'));
INSERT INTO champion_checks (
    run_id, version, predecessor, promoted_at, number, images, gained, lost, p_worse, alpha, worse, sentence
)
SELECT 'a check', version, pg_temp.digest('first'), lower(period), 1, 10, 0, 10, 0.001, 0.01, true, 'It is worse.'
FROM champions
WHERE gate_id = 'gate';
SELECT roll_back('back', pg_temp.digest('first'), pg_temp.digest('second'), 'op', 'worse');

INSERT INTO replays (
    run_id, window_start, window_end, images, missing, equal, within_tolerance, different, unrecorded, unequal, status,
    sentence, report, folder, html_sha256
)
VALUES ('replay', '2026-11-21 08:00+00', '2026-11-21 09:00+00', 1, 0, 1, 0, 0, 0, 0, 'equal', 'All is equal.', '{}',
        'replays/replay', pg_temp.digest('a page'));
