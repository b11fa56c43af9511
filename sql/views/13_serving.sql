-- One row for each picture that was answered over HTTP, refused ones too; `feedback` is what the application said later.
-- `role`: why this version answered. What shadows say is no answer: `reporting.shadows` has it.
CREATE VIEW reporting.served_results AS
SELECT prediction_id, served.at, served.consumer, model_versions.name AS model, served.version, image_id, status, reason,
       served.label, confidence, failure, bytes, format, width, height, seconds, kept, feedback.label AS feedback,
       role, rollout_id, recorded_at
FROM served_predictions AS served
LEFT JOIN model_versions ON model_versions.version = served.version
LEFT JOIN LATERAL (
    SELECT label
    FROM served_feedback
    WHERE served_feedback.prediction_id = served.prediction_id
    ORDER BY at DESC, sequence DESC
    LIMIT 1
) AS feedback ON true
WHERE role <> 'shadow';

-- What a shadow said of a picture, beside the answer that was given.
CREATE VIEW reporting.shadows AS
SELECT shadows.rollout_id, shadows.at, shadows.image_id, answers.prediction_id, answers.version AS answered_by,
       answers.label AS answer, answers.confidence AS answer_confidence, shadows.version AS shadow_by,
       shadows.label AS shadow, shadows.confidence AS shadow_confidence, shadows.failure
FROM served_predictions AS shadows
JOIN served_predictions AS answers ON answers.prediction_id = shadows.shadow_of
WHERE shadows.role = 'shadow';

-- Versions that were compared over HTTP with the champion of their time: how far each came. `state`, `share`, `who`, `why`
-- and `stepped_at` are of its last step; `ended_at` is null of the one that is on, of which `pictures` says how many lines the
-- version has in this step.
CREATE VIEW reporting.rollouts AS
SELECT rollout_id, name AS model, version, champion, asked_by, started_at, what AS state, share, who, why,
       number AS steps, at AS stepped_at, CASE WHEN share = 0 THEN at END AS ended_at,
       CASE WHEN share > 0 THEN (
           SELECT count(*)
           FROM served_predictions
           WHERE served_predictions.rollout_id = last.rollout_id AND served_predictions.at >= last.at
             AND role = CASE what WHEN 'shadow' THEN 'shadow' ELSE 'canary' END
       ) END AS pictures
FROM (
    SELECT DISTINCT ON (rollout_id) rollout_id, version, champion, what, share, who, why, number, at,
           first_value(who) OVER steps AS asked_by, first_value(at) OVER steps AS started_at
    FROM rollout_steps
    WINDOW steps AS (PARTITION BY rollout_id ORDER BY number)
    ORDER BY rollout_id, number DESC
) AS last
JOIN model_versions USING (version);

-- Which version answered which application, and when; what was forgotten since counts.
CREATE VIEW reporting.served_versions AS
SELECT consumer, name AS model, version, first_at, last_at, predictions, refused, failed
FROM (
    SELECT consumer, version, min(first_at) AS first_at, max(last_at) AS last_at, sum(predictions)::bigint AS predictions,
           sum(refused)::bigint AS refused, sum(failed)::bigint AS failed
    FROM served_days
    WHERE role <> 'shadow'
    GROUP BY consumer, version
) AS answered
LEFT JOIN model_versions USING (version);

-- Each time that an application was let in, until it was revoked. `version` is null if the champion answers it.
CREATE VIEW reporting.consumers AS
SELECT name, requests_per_second, version, created_by, created_at, revoked_by, revoked_at
FROM (
    SELECT name, what, requests_per_second, version, who AS created_by, at AS created_at,
           lead(who) OVER steps AS revoked_by, lead(at) OVER steps AS revoked_at
    FROM consumer_steps
    WINDOW steps AS (PARTITION BY name ORDER BY step_id)
) AS spans
WHERE what = 'created';

-- What applications said of pictures, and what became of it: `state` is null while it waits for its image.
CREATE VIEW reporting.served_feedback AS
SELECT prediction_id, served_feedback.at, consumer, served_feedback.label, state, reason, ended_at, recorded_at
FROM served_feedback
LEFT JOIN served_feedback_ends USING (server, sequence);

-- How far each serving process's spool is loaded; `complete_at`: when an agent last saw that all of it is, null if the
-- process has ended.
CREATE VIEW reporting.serving_spools AS
SELECT server, last_sequence, coalesce(refused_lines, 0) AS refused_lines, loaded_at, complete_at
FROM serving_spools
LEFT JOIN (SELECT server, count(*) AS refused_lines FROM served_refused_lines GROUP BY server) AS refused USING (server);

-- A version that is to answer somebody, and cannot, since its bundle is not whole: consumers that are pinned to it get 503,
-- and a rollout of it is none.
CREATE VIEW reporting.unserved_versions AS
SELECT offered_bundles.version, model_versions.name AS model, problem, since, consumers, rollout_id
FROM offered_bundles
JOIN model_versions ON model_versions.version = offered_bundles.version
LEFT JOIN LATERAL (
    SELECT array_agg(pinned.name ORDER BY pinned.name) AS consumers
    FROM reporting.consumers AS pinned
    WHERE pinned.version = offered_bundles.version AND revoked_at IS NULL
) AS waiting ON true
LEFT JOIN reporting.rollouts ON rollouts.version = offered_bundles.version AND ended_at IS NULL
WHERE problem IS NOT NULL AND num_nonnulls(consumers, rollout_id) > 0;
