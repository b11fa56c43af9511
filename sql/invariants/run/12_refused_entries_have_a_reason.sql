-- A refused entry says why and where it lies, is the original of no image, and its content has no prediction, unless the same content was
-- ingested elsewhere (an expectation may look at the path).
SELECT run_id, entry_id, state, reason, sha256
FROM outcomes
WHERE state IN ('quarantined', 'rejected', 'vanished')
  AND (coalesce(trim(reason), '') = ''
       OR num_nulls(refused_source, refused_folder) > 0
       OR image_id IS NOT NULL
       OR EXISTS (SELECT FROM images WHERE images.entry_id = outcomes.entry_id)
       OR EXISTS (
           SELECT
           FROM predictions
           LEFT JOIN images ON images.image_id = predictions.image_id
           LEFT JOIN outcomes AS originals ON originals.entry_id = images.entry_id
           WHERE predictions.image_id = outcomes.sha256 AND originals.state IS DISTINCT FROM 'ingested'
       ))
