SELECT outcome, sentence, recorded_at
FROM model_parity
WHERE version = %(version)s AND backend = %(backend)s AND precision = %(precision)s AND device = %(device)s
ORDER BY parity_id DESC
LIMIT 1
