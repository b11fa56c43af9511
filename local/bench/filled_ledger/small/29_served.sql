INSERT INTO served_predictions (
    prediction_id, server, sequence, at, consumer, version, image_id, bytes, status, seconds, kept, format, width, height,
    label, confidence, probabilities, versions
)
SELECT 'answer ' || number, 'a server', number, now() - (%(entries)s / 100 - number) * interval '20 seconds',
       'shop-' || 1 + number %% 5, encode(sha256('champion'), 'hex'), encode(sha256(int4send(number)), 'hex'), 3000, 'ok', 0.01,
       false, 'JPEG', 32, 32, 'cat', 0.91,
       '{0.01,0.01,0.01,0.91,0.01,0.01,0.01,0.01,0.01,0.01}', '{"backend": "openvino"}'
FROM generate_series(1, %(entries)s::integer / 100) AS number
