-- An ingested entry is the one of the image that its hash names. A duplicate points at the image of its own hash, whose
-- one entry is another, and ingested.
SELECT outcomes.run_id, outcomes.entry_id, state, sha256, outcomes.image_id, NULL AS original, NULL AS original_state
FROM outcomes
LEFT JOIN images ON images.entry_id = outcomes.entry_id
WHERE state = 'ingested'
  AND (outcomes.image_id IS DISTINCT FROM sha256 OR images.image_id IS DISTINCT FROM sha256)
UNION ALL
SELECT duplicates.run_id, duplicates.entry_id, duplicates.state, duplicates.sha256, duplicates.image_id,
       originals.entry_id, originals.state
FROM outcomes AS duplicates
LEFT JOIN images ON images.image_id = duplicates.image_id
LEFT JOIN outcomes AS originals ON originals.entry_id = images.entry_id
WHERE duplicates.state = 'duplicate'
  AND (duplicates.image_id IS DISTINCT FROM duplicates.sha256
       OR originals.entry_id = duplicates.entry_id
       OR originals.state IS DISTINCT FROM 'ingested'
       OR originals.image_id IS DISTINCT FROM duplicates.image_id)
