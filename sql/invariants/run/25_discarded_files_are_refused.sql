-- What is discarded is refused, was discarded by a step of that kind, and taken back by a later one if at all.
SELECT run_id, discarded_files.entry_id, state, discarded_files.discard_id, taken_back_by
FROM discarded_files
LEFT JOIN outcomes
    ON outcomes.entry_id = discarded_files.entry_id AND outcomes.recorded_at = discarded_files.recorded_at
LEFT JOIN discards AS discarding ON discarding.discard_id = discarded_files.discard_id
LEFT JOIN discards AS ending ON ending.discard_id = taken_back_by
WHERE (state IN ('quarantined', 'rejected', 'vanished') AND discarding.what = 'discarded') IS NOT TRUE
   OR taken_back_by IS NOT NULL AND (ending.what = 'taken back' AND taken_back_by > discarded_files.discard_id) IS NOT TRUE
