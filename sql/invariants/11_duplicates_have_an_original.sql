-- An accepted entry points at the image of its own hash, whose one entry is ingested; all others are its duplicates.
SELECT outcomes.run_id, outcomes.entry_id, outcomes.state, outcomes.sha256, outcomes.image_id,
       images.entry_id AS original, originals.state AS original_state
FROM outcomes
LEFT JOIN images ON images.image_id = outcomes.image_id
LEFT JOIN outcomes AS originals ON originals.entry_id = images.entry_id
WHERE outcomes.state IN ('ingested', 'duplicate')
  AND (outcomes.image_id IS DISTINCT FROM outcomes.sha256
       OR originals.state IS DISTINCT FROM 'ingested'
       OR originals.image_id IS DISTINCT FROM outcomes.image_id
       OR (outcomes.state = 'ingested') <> (outcomes.entry_id = images.entry_id))
