-- A refused entry says why, is the original of no image, and its content has no prediction, unless the same content was
-- accepted elsewhere (an expectation may look at the path).
SELECT run_id, entry_id, state, reason, sha256
FROM outcomes
WHERE state IN ('quarantined', 'rejected', 'vanished')
  AND (coalesce(trim(reason), '') = ''
       OR image_id IS NOT NULL
       OR EXISTS (SELECT FROM images WHERE images.entry_id = outcomes.entry_id)
       OR EXISTS (SELECT FROM predictions WHERE predictions.image_id = outcomes.sha256)
          AND NOT EXISTS (SELECT FROM outcomes AS accepted WHERE accepted.image_id = outcomes.sha256))
