-- Where what there is to see of a refused file lies: `decoded` if its pixels are in the shard.
SELECT run_id, shard_id, ordinal, decoded, sha256
FROM reporting.files
JOIN reporting.file_runs USING (entry_id, run_id)
WHERE entry_id = %(entry_id)s AND state = 'quarantined' AND shard_id IS NOT NULL
