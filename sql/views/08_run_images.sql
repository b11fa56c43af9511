-- The accepted images of each run, by shard.
CREATE VIEW run_images AS
SELECT DISTINCT run_entries.run_id, run_entries.shard_id, outcomes.image_id
FROM run_entries
JOIN outcomes ON outcomes.entry_id = run_entries.entry_id
WHERE outcomes.image_id IS NOT NULL;
