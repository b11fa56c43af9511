-- Each image that landed in a window, once: what the version that its run had pinned made of it, and what is on record
-- of the version to replay with. `run_id` and `shard_id` lead to the shard to classify: the one that the latter result
-- came of, so that a replay does again what was done; else the one of the former.
SELECT landed.image_id, name,
       landed.model_version AS made_by, coalesce(made.run_id, failed.run_id) AS made_in, made.label AS made_label,
       own.run_id AS recorded_in, own.label AS recorded_label, own.probabilities AS recorded_probabilities,
       failed.run_id IS NOT NULL AND landed.model_version = asked AS recorded_failure,
       coalesce(own.run_id, failed.run_id, made.run_id) AS run_id,
       coalesce(own.shard_id, failed.shard_id, made.shard_id) AS shard_id
FROM (
    SELECT DISTINCT ON (image_id) image_id, display_name AS name, run_id, model_version,
           coalesce(%(model_version)s::text, model_version) AS asked
    FROM entries
    JOIN outcomes USING (entry_id)
    JOIN runs USING (run_id)
    WHERE drop_at >= %(window_start)s AND drop_at < %(window_end)s AND image_id IS NOT NULL
    ORDER BY image_id, entry_id
) AS landed
LEFT JOIN predictions AS made
    ON made.image_id = landed.image_id AND made.model_version = landed.model_version
LEFT JOIN prediction_failures AS failed
    ON made.image_id IS NULL AND failed.image_id = landed.image_id AND failed.run_id = landed.run_id
LEFT JOIN predictions AS own
    ON own.image_id = landed.image_id AND own.model_version = landed.asked
ORDER BY run_id, shard_id, landed.image_id
