SELECT create_consumer('shop-' || number, encode(sha256(int4send(number)), 'hex'), 50, NULL, 'ann')
FROM generate_series(1, 5) AS number
