-- What was refused is read from the latest on, a page at a time.
CREATE INDEX outcomes_refused ON outcomes (recorded_at, entry_id) WHERE state IN ('quarantined', 'rejected', 'vanished');
