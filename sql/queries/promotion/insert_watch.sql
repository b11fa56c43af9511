INSERT INTO watches (
    run_id, version, predecessor, promoted_at, look, images, gained, lost, p_worse, alpha, worse, sentence
)
VALUES (
    %(run_id)s, %(version)s, %(predecessor)s, %(promoted_at)s, %(look)s, %(images)s, %(gained)s, %(lost)s, %(p_worse)s,
    %(alpha)s, %(worse)s, %(sentence)s
)
ON CONFLICT DO NOTHING
