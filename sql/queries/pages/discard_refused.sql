-- Those of the entries, or of all that fit the filters and were recorded by then, which are not `discarded` yet, or are.
SELECT discard(%(who)s, %(what)s, %(why)s, %(chosen)s, array_agg(entry_id)) AS files
FROM reporting.quarantine
WHERE discarded = %(discarded)s
  AND (%(entries)s::bigint[] IS NULL OR entry_id = ANY (%(entries)s))
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(source)s::text IS NULL OR source = %(source)s)
  AND (%(folder)s::text IS NULL OR folder = %(folder)s)
  AND (%(period)s::timestamptz IS NULL OR drop_at = %(period)s)
  AND (%(until)s::timestamptz IS NULL OR recorded_at <= %(until)s)
