CREATE VIEW reporting.runs AS
SELECT run_id, kind, interval_start, interval_end, model_versions.name AS model, model_version,
       files_seen, known, deferred, future, runs.listed,
       ingested, duplicates, quarantined, rejected, vanished, classified, failed,
       started_at, closed_at,
       extract(epoch FROM closed_at - started_at) AS seconds,
       classified / nullif(extract(epoch FROM closed_at - started_at), 0) AS images_per_second,
       classify.seconds AS classify_seconds,
       classified / nullif(classify.seconds, 0) AS classify_images_per_second
FROM runs
JOIN model_versions ON version = model_version
LEFT JOIN closings USING (run_id)
LEFT JOIN (
    SELECT run_id, sum((batches.seconds ->> 'classify')::double precision) AS seconds FROM batches GROUP BY run_id
) AS classify USING (run_id);

-- The balance of each run by source: over its sources, the numbers add up to those of the run. `open` are without an
-- outcome, which none is once the run is closed.
CREATE VIEW reporting.run_sources AS
SELECT run_entries.run_id, source, count(*) AS listed,
       count(*) FILTER (WHERE state = 'ingested') AS ingested,
       count(*) FILTER (WHERE state = 'duplicate') AS duplicates,
       count(*) FILTER (WHERE state = 'quarantined') AS quarantined,
       count(*) FILTER (WHERE state = 'rejected') AS rejected,
       count(*) FILTER (WHERE state = 'vanished') AS vanished,
       count(*) FILTER (WHERE state IS NULL) AS open
FROM run_entries
JOIN entries USING (entry_id)
LEFT JOIN outcomes USING (entry_id)
GROUP BY run_entries.run_id, source;

-- What each shard cost. Start-up is all before the first image: the container's (or process's) start, imports, the
-- check of the files' hashes, and the model's first, blank batch. A share above a tenth asks for larger shards.
CREATE VIEW reporting.batches AS
SELECT run_id, shard_id, model_version, entries, ok + failed AS images, device, image_digest,
       spawn, import, verify, first_batch, classify,
       spawn + import + verify + first_batch AS startup,
       (spawn + import + verify + first_batch)
           / nullif(spawn + import + verify + first_batch + classify, 0) AS startup_share,
       shard_rows / nullif(classify, 0) AS images_per_second,
       loaded_at
FROM batches
JOIN shards USING (shard_id)
CROSS JOIN jsonb_to_record(seconds) AS phases (
    spawn double precision, import double precision, verify double precision, first_batch double precision,
    classify double precision
);

-- One row an image and model version, by the path label of the entry that was ingested.
CREATE VIEW reporting.predictions AS
SELECT image_id, display_name AS fname, source, drop_at, path_label, predictions.label, confidence,
       path_label = predictions.label AS correct,
       model_version, predictions.run_id, predicted_at, width, height, format, mode, bytes,
       brightness, contrast, saturation, sharpness
FROM predictions
JOIN images USING (image_id)
JOIN entries USING (entry_id);

-- `folder` is the first one below the period, '' of a file that lies in none. `discarded`: a person says that nothing has
-- to be done about it.
CREATE VIEW reporting.quarantine AS
SELECT display_name AS fname, refused_source AS source, drop_at, path_label, state, outcomes.reason, detail, decoded, sha256,
       size, run_id, outcomes.recorded_at, outcomes.entry_id, refused_folder AS folder,
       discarded_files.entry_id IS NOT NULL AS discarded, who AS discarded_by, why AS discarded_why, at AS discarded_at
FROM outcomes
JOIN entries USING (entry_id)
LEFT JOIN discarded_files
    ON discarded_files.recorded_at = outcomes.recorded_at AND discarded_files.entry_id = outcomes.entry_id
   AND taken_back_by IS NULL
LEFT JOIN discards USING (discard_id)
WHERE state IN ('quarantined', 'rejected', 'vanished');

-- The files that are discarded now.
CREATE VIEW reporting.discarded AS
SELECT entry_id, recorded_at
FROM discarded_files
WHERE taken_back_by IS NULL;

-- Each step of people about a refused file.
CREATE VIEW reporting.discards AS
SELECT entry_id, who, what, why, at
FROM discarded_files
JOIN discards USING (discard_id)
UNION ALL
SELECT entry_id, who, what, why, at
FROM discarded_files
JOIN discards ON discards.discard_id = taken_back_by;

CREATE VIEW reporting.validation AS
SELECT run_id, interval_start, expectation, severity, success, evaluated, unexpected, detail, validated_at,
       validated_at = max(validated_at) OVER (PARTITION BY run_id) AS latest
FROM validation_results
JOIN runs USING (run_id);
