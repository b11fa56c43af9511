INSERT INTO validation_results (
    run_id, validation, expectation, severity, success, evaluated, unexpected, detail, validated_at
)
SELECT run_id, encode(sha256(convert_to(run_id, 'UTF8')), 'hex'), 'expectation_' || number,
       CASE WHEN number = 1 THEN 'stop' WHEN number < 6 THEN 'quarantine' ELSE 'warn' END,
       number < 6, listed, CASE WHEN number < 6 THEN 0 ELSE listed / 100 END, 'Images are as they were before',
       started_at + interval '2 minutes'
FROM runs
CROSS JOIN generate_series(1, 12) AS number
