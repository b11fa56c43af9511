-- A version was rolled out as a shadow of the champion, and answered one picture as a canary.
SELECT start_rollout('rollout', version, 0.5, 'ann', 'to see')
FROM model_versions
WHERE version NOT IN (SELECT version FROM champions WHERE upper_inf(period))
LIMIT 1;
INSERT INTO served_predictions (
    prediction_id, server, sequence, at, consumer, version, image_id, bytes, status, seconds, kept, versions, role, rollout_id
)
SELECT 'a canary', 'another server', 1, '2026-11-22 08:20+00', 'anonymous', version, repeat('0', 64), 100, 'ok', 0.01, false,
       '{}', 'canary', rollout_id
FROM rollout_steps;
INSERT INTO serving_spools (server, segment, bytes, last_sequence) VALUES ('another server', 1, 500, 1);
SELECT end_rollout('rollout', 'ended', 'ann', 'seen');
