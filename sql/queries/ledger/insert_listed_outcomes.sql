-- Entries that the listing alone settles; one that is settled already stays as it is.
INSERT INTO outcomes (entry_id, state, reason, detail, run_id)
SELECT entry_id, state, reason, detail, %(run_id)s
FROM staged_entries
JOIN entries USING (drop_at, name, version)
WHERE state IS NOT NULL
ON CONFLICT (entry_id) DO NOTHING
