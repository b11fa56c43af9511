INSERT INTO validation_results (run_id, validation, expectation, severity, success, evaluated, unexpected, detail)
VALUES (%(run_id)s, %(digest)s, %(name)s, %(severity)s, %(success)s, %(evaluated)s, %(unexpected)s, %(says)s)
ON CONFLICT DO NOTHING
