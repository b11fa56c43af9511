-- An application has asked about cat.jpg, said later that it is a dog, and was revoked; a line of its server was damaged.
CREATE FUNCTION pg_temp.digest(name text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN encode(sha256(convert_to(name, 'UTF8')), 'hex');

SELECT create_consumer('shop', pg_temp.digest('token'), 50, pg_temp.digest('second'), 'ann');
INSERT INTO serving_spools (server, segment, bytes, last_sequence) VALUES ('a server', 1, 1000, 3);
INSERT INTO served_predictions (
    prediction_id, server, sequence, at, consumer, version, image_id, bytes, status, seconds, kept, format, width, height,
    label, confidence, probabilities, versions
)
VALUES ('a prediction', 'a server', 1, '2026-11-21 08:20+00', 'shop', pg_temp.digest('second'), pg_temp.digest('cat.jpg'),
        100, 'ok', 0.01, true, 'JPEG', 32, 32, 'cat', 0.75, '{0.75,0.25}', '{"backend": "openvino"}');
INSERT INTO served_feedback (server, sequence, at, consumer, prediction_id, label)
VALUES ('a server', 3, '2026-11-21 08:30+00', 'shop', 'a prediction', 'Dog');
INSERT INTO served_refused_lines (server, segment, position, reason, line) VALUES ('a server', 1, 500, 'no JSON', '\xff');
SELECT label_feedback('3 hours');
SELECT revoke_consumer('shop', 'ann');
