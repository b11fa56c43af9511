SELECT audit_id FROM audit_log WHERE hash = %(hash)s
