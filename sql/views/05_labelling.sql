-- The 95 % interval of Wilson for a share: it keeps within 0 and 1, and is sound for few trials and for shares near 1.
-- Of no trials nothing is known: null, as their share. `nullif` guards the division wherever the planner puts it.
CREATE FUNCTION reporting.wilson(
    successes double precision, trials double precision, OUT low double precision, OUT high double precision
)
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE WHEN trials > 0 THEN greatest(centre - half, 0) END,
           CASE WHEN trials > 0 THEN least(centre + half, 1) END
    FROM (
        SELECT (successes + z * z / 2) / (trials + z * z) AS centre,
               z * sqrt(greatest(successes * (trials - successes), 0) / nullif(trials, 0) + z * z / 4)
                   / (trials + z * z) AS half
        FROM (SELECT 1.959964 AS z) AS quantile
    ) AS bounds
$$;

-- Realized accuracy, of all images with a label, by the source and period in which they landed. Of a class: of the images
-- that are of it. If people labelled those that the model was unsure of (`uncertain`), the share says too little of
-- the rest: `reporting.audit_accuracy` is the one without such a bias.
CREATE VIEW reporting.class_accuracy AS
SELECT model_version, source, drop_at AS period_start, class, labelled, correct, uncertain,
       correct::double precision / labelled AS accuracy, low, high
FROM (
    SELECT model_version, drop_source AS source, drop_at, truth.label AS class,
           count(*) AS labelled,
           count(*) FILTER (WHERE predictions.label = truth.label) AS correct,
           count(*) FILTER (WHERE EXISTS (
               SELECT FROM audit_images WHERE audit_images.image_id = truth.image_id AND chosen = 'uncertain'
           )) AS uncertain
    FROM predictions
    JOIN standing_labels AS truth USING (image_id)
    WHERE truth.label <> '' AND NOT conflicting
    GROUP BY model_version, drop_source, drop_at, truth.label
) AS counted
CROSS JOIN LATERAL reporting.wilson(correct, labelled);

CREATE VIEW reporting.accuracy AS
SELECT model_version, source, period_start, labelled, correct, uncertain,
       correct::double precision / labelled AS accuracy, low, high
FROM (
    SELECT model_version, source, period_start,
           sum(labelled)::bigint AS labelled, sum(correct)::bigint AS correct, sum(uncertain)::bigint AS uncertain
    FROM reporting.class_accuracy
    GROUP BY model_version, source, period_start
) AS counted
CROSS JOIN LATERAL reporting.wilson(correct, labelled);

-- Accuracy on the random audit samples alone, of a period, a day, and all time. Each image stands for as many as its run
-- had for each that was answered; the interval is that of as many equally weighted images (Kish's effective size).
CREATE VIEW reporting.audit_accuracy AS
SELECT model_version, period, since, asked, labelled, correct, population, accuracy, effective, low, high
FROM (
    SELECT model_version,
           CASE WHEN grouping(period_start) = 0 THEN 'period' WHEN grouping(day) = 0 THEN 'day' ELSE 'all' END AS period,
           coalesce(period_start, day) AS since,
           sum(asked)::bigint AS asked, sum(labelled)::bigint AS labelled, sum(correct)::bigint AS correct,
           sum(population)::bigint AS population,
           sum(weight * correct) / sum(weight * labelled) AS accuracy,
           sum(weight * labelled) ^ 2 / sum(weight ^ 2 * labelled) AS effective
    FROM (
        SELECT runs.model_version, interval_start AS period_start, date_trunc('day', interval_start, 'UTC') AS day,
               population, count(*) AS asked, count(truth.image_id) AS labelled,
               count(*) FILTER (WHERE truth.label = predictions.label) AS correct,
               population::double precision / nullif(count(truth.image_id), 0) AS weight
        FROM audit_samples
        JOIN runs USING (run_id)
        JOIN audit_images USING (run_id)
        JOIN predictions USING (image_id, model_version)
        LEFT JOIN image_labels AS truth USING (image_id)
        WHERE chosen = 'random'
        GROUP BY audit_samples.run_id, runs.model_version, interval_start, population
    ) AS samples
    GROUP BY GROUPING SETS ((model_version, period_start, day), (model_version, day), (model_version))
) AS pooled
LEFT JOIN LATERAL reporting.wilson(accuracy * effective, effective) ON true;

-- What people are asked to label, answered or not.
CREATE VIEW reporting.asked AS
SELECT run_id, image_id, chosen, margin, chosen_at
FROM audit_images
JOIN audit_samples USING (run_id);

-- What people are asked to label, and have not yet: nobody said anything of it, and no path does. As `standing_labels` has
-- it, without looking at what was said of all the others.
CREATE VIEW reporting.unanswered AS
SELECT audit_images.run_id, image_id, display_name AS fname, source, drop_at, chosen, margin, chosen_at
FROM audit_images
JOIN audit_samples USING (run_id)
JOIN images USING (image_id)
JOIN entries USING (entry_id)
WHERE NOT EXISTS (SELECT FROM labels WHERE labels.image_id = audit_images.image_id)
  AND NOT EXISTS (SELECT FROM path_words WHERE path_words.image_id = audit_images.image_id);

-- How far labelling has come, by the source and period in which the images landed.
CREATE VIEW reporting.labelling AS
SELECT drop_source AS source, drop_at AS period_start, count(*) AS images,
       count(*) FILTER (WHERE label <> '' AND NOT conflicting) AS labelled,
       count(*) FILTER (WHERE label = '' AND NOT conflicting) AS unusable,
       count(*) FILTER (WHERE conflicting) AS conflicting,
       count(*) FILTER (WHERE label IS NULL) AS unlabelled,
       count(*) FILTER (WHERE images.source = 'path') AS from_path,
       count(*) FILTER (WHERE images.source = 'feedback') AS from_feedback,
       count(*) FILTER (WHERE images.source = 'file') AS from_file,
       count(*) FILTER (WHERE images.source IN ('person', 'decision')) AS from_people,
       count(*) FILTER (WHERE asked) AS asked,
       count(*) FILTER (WHERE asked AND label IS NULL) AS unanswered
FROM (
    SELECT *, EXISTS (SELECT FROM audit_images WHERE audit_images.image_id = standing_labels.image_id) AS asked
    FROM standing_labels
) AS images
GROUP BY drop_source, drop_at;

-- Images of which those of the highest rank say different things: held out of training and of accuracy until a person
-- decides. One row for each that is said; a path has no labeller, and is itself `fname`.
CREATE VIEW reporting.label_conflicts AS
SELECT image_id, display_name AS fname, drop_at, labels.source, labels.labeller, labels.label, labels.labelled_at
FROM labels
JOIN standing_labels USING (image_id, source)
WHERE conflicting
  AND NOT EXISTS (
      SELECT
      FROM labels AS later
      WHERE (later.image_id, later.source, later.labeller) = (labels.image_id, labels.source, labels.labeller)
        AND (later.labelled_at, coalesce(later.file_id, 0)) > (labels.labelled_at, coalesce(labels.file_id, 0))
  )
UNION ALL
SELECT image_id, path_words.display_name, path_words.drop_at, source, NULL, path_words.label, listed_at
FROM standing_labels
JOIN path_words USING (image_id)
WHERE source = 'path' AND conflicting;

-- How often a labeller agrees with each other one, and with the paths, on the images that both labelled. One who hardly
-- does so has misread the task, or means harm.
CREATE VIEW reporting.labellers AS
WITH words AS (
    SELECT DISTINCT ON (image_id, source, labeller) image_id, source, labeller, label
    FROM labels
    WHERE source <> 'decision'
    ORDER BY image_id, source, labeller, labelled_at DESC, file_id DESC
), others AS (
    SELECT * FROM words
    UNION ALL
    SELECT image_id, 'path', NULL, label
    FROM (SELECT DISTINCT image_id FROM words) AS labelled
    JOIN path_words USING (image_id)
)
SELECT source, labeller, images, compared, agreed, agreed::double precision / nullif(compared, 0) AS agreement, low, high
FROM (
    SELECT words.source, words.labeller, count(DISTINCT words.image_id) AS images, count(others.image_id) AS compared,
           count(*) FILTER (WHERE others.label = words.label) AS agreed
    FROM words
    LEFT JOIN others
        ON others.image_id = words.image_id
       AND (others.source, others.labeller) IS DISTINCT FROM (words.source, words.labeller)
    GROUP BY words.source, words.labeller
) AS compared
LEFT JOIN LATERAL reporting.wilson(agreed, compared) ON true;

-- Rows by what has become of them by now: of those that waited for their image, too.
CREATE VIEW reporting.label_files AS
SELECT label_files.file_id, display_name AS fname, state, reason, detail, rows_read,
       accepted + ends.as_accepted AS accepted, known + ends.as_known AS known, rejected + ends.as_rejected AS rejected,
       waiting - ends.as_accepted - ends.as_known - ends.as_rejected AS waiting,
       (
           SELECT coalesce(jsonb_object_agg(reasons.reason, reasons.rows), '{}')
           FROM (
               SELECT counted.reason, sum(counted.rows)::bigint AS rows
               FROM (
                   SELECT of_reason.reason, rows::bigint FROM jsonb_each_text(reasons) AS of_reason (reason, rows)
                   UNION ALL
                   SELECT label_wait_ends.reason, 1
                   FROM label_wait_ends
                   WHERE label_wait_ends.file_id = label_files.file_id AND label_wait_ends.state = 'rejected'
               ) AS counted
               GROUP BY counted.reason
           ) AS reasons
       ) AS reasons,
       size, modified_at, sha256, same_as, model_version, run_id, recorded_at
FROM label_files
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE label_wait_ends.state = 'accepted') AS as_accepted,
           count(*) FILTER (WHERE label_wait_ends.state = 'known') AS as_known,
           count(*) FILTER (WHERE label_wait_ends.state = 'rejected') AS as_rejected
    FROM label_wait_ends
    WHERE label_wait_ends.file_id = label_files.file_id
) AS ends;

CREATE VIEW reporting.label_rejections AS
SELECT file_id, display_name AS fname, line, label_rejections.reason, label_rejections.detail, shown, recorded_at
FROM label_rejections
JOIN label_files USING (file_id)
UNION ALL
SELECT file_id, display_name, line, label_wait_ends.reason, label_wait_ends.detail, shown, ended_at
FROM label_wait_ends
JOIN label_waits USING (file_id, line)
JOIN label_files USING (file_id)
WHERE label_wait_ends.state = 'rejected';

-- Rows of label files that wait until their image is ingested.
CREATE VIEW reporting.label_waits AS
SELECT file_id, display_name AS fname, line, coalesce(image_id, entry_id::text, shown) AS waits_for, recorded_at AS since,
       label_waits.label, labeller, shown
FROM label_waits
JOIN label_files USING (file_id)
WHERE NOT EXISTS (
    SELECT
    FROM label_wait_ends
    WHERE (label_wait_ends.file_id, label_wait_ends.line) = (label_waits.file_id, label_waits.line)
);
