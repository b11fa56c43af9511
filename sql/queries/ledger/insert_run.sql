INSERT INTO runs (
    run_id, kind, interval_start, interval_end, model_version, files_seen, known, deferred, future, listed
)
VALUES (%(run_id)s, %(kind)s, %(interval_start)s, %(interval_end)s, %(model_version)s,
        %(files_seen)s, %(known)s, %(deferred)s, %(future)s, %(listed)s)
RETURNING *
