-- What `images` says of an image, and what became of its entry.
CREATE TEMPORARY TABLE staged_outcomes ON COMMIT DROP AS
SELECT images.*, run_entries.shard_id, outcomes.state, outcomes.decoded, outcomes.reason, outcomes.detail
FROM images, run_entries, outcomes
WITH NO DATA
