-- Every listed file and what became of it; `state` is null while nothing has. By `name_start` and `name_end` its own name
-- is searched: in lower case, the latter back to front.
CREATE VIEW reporting.files AS
SELECT entry_id, display_name AS fname,
       lower(left(split_part(display_name, '/', -1), 255)) COLLATE "C" AS name_start,
       reverse(lower(right(split_part(display_name, '/', -1), 255))) COLLATE "C" AS name_end,
       sha256(name) AS path_sha256, source, drop_at, path_label, size, modified_at, version, listed_at,
       state, reason, detail, notes, outcomes.sha256, image_id, decoded, run_id, recorded_at
FROM entries
LEFT JOIN outcomes USING (entry_id);

-- Which files have a content, refused ones included, as far as they were read whole.
CREATE VIEW reporting.contents AS
SELECT image_id AS sha256, entry_id FROM images
UNION ALL
SELECT image_id, entry_id FROM outcomes WHERE state = 'duplicate'
UNION ALL
SELECT sha256, entry_id FROM outcomes WHERE image_id IS NULL AND sha256 IS NOT NULL;

-- The runs that took up a file: one, unless its image had to be classified again. `ordinal`: its row in the shard's
-- manifest.
CREATE VIEW reporting.file_runs AS
SELECT entry_id, run_id, kind, interval_start, started_at, shard_id, ordinal
FROM run_entries
JOIN runs USING (run_id);

CREATE VIEW reporting.images AS
SELECT image_id, entry_id, width, height, format, mode, bytes, notes, brightness, contrast, saturation, sharpness
FROM images;

-- Where the pixels of an image are: the attempts that classified the shards in which it was decoded.
CREATE VIEW reporting.image_shards AS
SELECT image_id, run_id, shard_id, folder, result_sha256, shard_sha256, loaded_at
FROM images
JOIN run_entries USING (entry_id)
JOIN batches USING (run_id, shard_id)
WHERE folder IS NOT NULL;

-- Where the embedding of an image is: the attempt that made its prediction by a version.
CREATE VIEW reporting.image_embeddings AS
SELECT image_id, predictions.model_version, label, drop_at, run_id, shard_id, folder, result_sha256
FROM predictions
JOIN images USING (image_id)
JOIN entries USING (entry_id)
JOIN batches USING (run_id, shard_id)
WHERE folder IS NOT NULL;

-- What each version says of an image, with its five likeliest classes.
CREATE VIEW reporting.image_predictions AS
SELECT image_id, entry_id, label, confidence, model_version, model_versions.name AS model, run_id, predicted_at,
       (
           SELECT jsonb_agg(jsonb_build_object('label', class, 'probability', probability) ORDER BY probability DESC)
           FROM (
               SELECT class, probability
               FROM unnest(classes, probabilities) AS of_class (class, probability)
               ORDER BY probability DESC
               LIMIT 5
           ) AS likeliest
       ) AS likeliest
FROM predictions
JOIN images USING (image_id)
JOIN model_versions ON version = model_version;

CREATE VIEW reporting.prediction_failures AS
SELECT image_id, run_id, model_version, reason FROM prediction_failures;

-- What is said of an image: by its paths, by files, and by people.
CREATE VIEW reporting.image_words AS
SELECT image_id, source, labeller, labels.label, labelled_at, display_name AS label_file, line
FROM labels
LEFT JOIN label_files USING (file_id)
UNION ALL
SELECT image_id, 'path', NULL, path_words.label, listed_at, NULL, NULL
FROM path_words;

-- What counts of it, if anything was said: `conflicting` if those of the highest rank do not agree.
CREATE VIEW reporting.standing_labels AS
SELECT image_id, source, label, labeller, labelled_at, conflicting
FROM standing_labels
WHERE label IS NOT NULL;

CREATE VIEW reporting.image_datasets AS
SELECT image_id, dataset_id, kind, label, images, made_at
FROM dataset_images
JOIN datasets USING (dataset_id);
