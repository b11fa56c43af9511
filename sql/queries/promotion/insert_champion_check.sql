INSERT INTO champion_checks (
    run_id, version, predecessor, promoted_at, number, images, gained, lost, p_worse, alpha, worse, sentence
)
VALUES (
    %(run_id)s, %(version)s, %(predecessor)s, %(promoted_at)s, %(number)s, %(images)s, %(gained)s, %(lost)s, %(p_worse)s,
    %(alpha)s, %(worse)s, %(sentence)s
)
ON CONFLICT DO NOTHING
