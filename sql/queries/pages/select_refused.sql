SELECT entry_id, fname, source, drop_at, folder, state, reason, detail, sha256, size, run_id, recorded_at,
       discarded, discarded_by, discarded_why, discarded_at
FROM reporting.quarantine
WHERE NOT discarded
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(source)s::text IS NULL OR source = %(source)s)
  AND (%(folder)s::text IS NULL OR folder = %(folder)s)
  AND (%(period)s::timestamptz IS NULL OR drop_at = %(period)s)
  AND (%(before)s::timestamptz IS NULL OR (recorded_at, entry_id) < (%(before)s, %(before_entry)s))
ORDER BY recorded_at DESC, entry_id DESC
LIMIT %(limit)s
