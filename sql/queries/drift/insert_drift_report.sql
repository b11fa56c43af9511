INSERT INTO drift_reports (
    run_id, window_start, window_end, model_version, live, replaces, images, compared, labelled,
    action, asks, sentence, held_back, report, folder, html_sha256
)
VALUES (
    %(run_id)s, %(window_start)s, %(window_end)s, %(model_version)s, %(live)s, %(replaces)s, %(images)s, %(compared)s,
    %(labelled)s, %(action)s, %(asks)s, %(sentence)s, %(held_back)s, %(report)s, %(folder)s, %(html_sha256)s
)
RETURNING report_id
