INSERT INTO replays (
    run_id, window_start, window_end, model_version, images, missing, equal, within_tolerance, different, unrecorded,
    unequal, status, sentence, report, folder, html_sha256
)
VALUES (
    %(run_id)s, %(window_start)s, %(window_end)s, %(model_version)s, %(images)s, %(missing)s, %(equal)s,
    %(within_tolerance)s, %(different)s, %(unrecorded)s, %(unequal)s, %(status)s, %(sentence)s, %(report)s, %(folder)s,
    %(html_sha256)s
)
ON CONFLICT (run_id) DO NOTHING
