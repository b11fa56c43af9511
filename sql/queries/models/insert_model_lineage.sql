INSERT INTO model_lineage (
    version, parent, training_set, holdout, recent_set, asked_by, reason, report_id, run_id, code_revision,
    image_digest, versions, parameters
)
VALUES (
    %(version)s, %(parent)s, %(training_set)s, %(holdout)s, %(recent_set)s, %(asked_by)s, %(reason)s, %(report_id)s,
    %(run_id)s, %(code_revision)s, %(image_digest)s, %(versions)s, %(parameters)s
)
ON CONFLICT (version) DO NOTHING
