INSERT INTO label_files (
    name, version, display_name, size, modified_at, state, reason, detail, sha256, same_as, model_version,
    rows_read, accepted, known, rejected, waiting, reasons, run_id
)
VALUES (
    %(name)s, %(version)s, %(display_name)s, %(size)s, %(modified_at)s, %(state)s, %(reason)s, %(detail)s, %(sha256)s,
    %(same_as)s, %(model_version)s, %(rows_read)s, %(accepted)s, %(known)s, %(rejected)s, %(waiting)s, %(reasons)s,
    %(run_id)s
)
RETURNING file_id
