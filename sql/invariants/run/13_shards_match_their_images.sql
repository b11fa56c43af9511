-- The rows of a classified shard are the contents that its entries were settled with as decoded, but for those `missing`
-- from it (settled by an earlier run; changed or gone by now) and those `replaced` in it (settled otherwise earlier).
SELECT batches.run_id, batches.shard_id, shard_rows, missing, replaced, contents_found
FROM batches
LEFT JOIN (
    SELECT run_entries.run_id, run_entries.shard_id, count(DISTINCT sha256) AS contents_found
    FROM run_entries
    JOIN outcomes ON outcomes.entry_id = run_entries.entry_id
    WHERE decoded
    GROUP BY run_entries.run_id, run_entries.shard_id
) AS found ON found.run_id = batches.run_id AND found.shard_id = batches.shard_id
WHERE shard_rows <> coalesce(contents_found, 0) - missing + replaced
