-- As select_refused, of those that are discarded: in the order of their own index, however many they are.
SELECT quarantine.*
FROM reporting.discarded
CROSS JOIN LATERAL (
    SELECT entry_id, fname, source, drop_at, folder, state, reason, detail, sha256, size, run_id, recorded_at,
           discarded, discarded_by, discarded_why, discarded_at
    FROM reporting.quarantine
    WHERE quarantine.entry_id = discarded.entry_id
      AND (%(reason)s::text IS NULL OR reason = %(reason)s)
      AND (%(source)s::text IS NULL OR source = %(source)s)
      AND (%(folder)s::text IS NULL OR folder = %(folder)s)
      AND (%(period)s::timestamptz IS NULL OR drop_at = %(period)s)
) AS quarantine
WHERE %(before)s::timestamptz IS NULL OR (discarded.recorded_at, discarded.entry_id) < (%(before)s, %(before_entry)s)
ORDER BY discarded.recorded_at DESC, discarded.entry_id DESC
LIMIT %(limit)s
