-- Each shard with an accepted entry was classified, and nothing but shards of the run was.
SELECT shard_id, CASE WHEN classified THEN 'is not a shard of this run' ELSE 'was not classified' END AS fault
FROM (SELECT shard_id, bool_or(state = 'accepted') AS accepted FROM staged_outcomes GROUP BY shard_id) AS listed
FULL JOIN (SELECT shard_id, true AS classified FROM staged_batches) AS attempts USING (shard_id)
WHERE accepted AND classified IS NULL OR accepted IS NULL
LIMIT 5
