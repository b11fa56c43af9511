-- What failed first, the gravest of it before the rest.
SELECT expectation, severity, success, evaluated, unexpected, detail, validated_at
FROM reporting.validation
WHERE run_id = %(run_id)s AND latest
ORDER BY success, array_position(ARRAY['stop', 'quarantine', 'warn'], severity), expectation
