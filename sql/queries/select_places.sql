-- Where each entry of a run is, in the order in which the first of equal contents is the one that is ingested.
SELECT shard_id, ordinal, entry_id
FROM run_entries
JOIN entries USING (entry_id)
WHERE run_id = %(run_id)s AND shard_id IS NOT NULL
ORDER BY drop_at, name, version
