-- One row a replay; its page is index.html in `folder` of the store.
CREATE VIEW reporting.replays AS
SELECT run_id, window_start, window_end, model_version, status, sentence,
       images, images - missing AS replayed, missing, equal, within_tolerance, different, unrecorded, unequal,
       folder, replayed_at
FROM replays;
