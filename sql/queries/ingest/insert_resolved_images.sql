-- What becomes of each accepted image of each shard. It is known, when it has a prediction, or failed before, when it
-- has a failure of this run; else it was classified in some shard now (that on rank 1 is recorded), or it failed in
-- all, or its entry, accepted earlier, is refused or gone by now.
INSERT INTO resolved_images (shard_id, image_id, status, reason, rank)
SELECT accepted.shard_id, image_id,
       CASE WHEN earlier_failures.image_id IS NOT NULL THEN 'failed before'
            WHEN predictions.image_id IS NOT NULL THEN 'known'
            WHEN bool_or(label IS NOT NULL) OVER (PARTITION BY image_id) THEN 'classified'
            ELSE 'failed' END,
       coalesce(failure, accepted.reason, 'CHANGED'),
       row_number() OVER (PARTITION BY image_id ORDER BY label IS NULL, accepted.shard_id)
FROM (
    SELECT shard_id, outcomes.image_id, min(staged.reason) AS reason
    FROM staged_outcomes AS staged
    JOIN outcomes USING (entry_id)
    WHERE outcomes.image_id IS NOT NULL
    GROUP BY shard_id, outcomes.image_id
) AS accepted
LEFT JOIN (SELECT shard_id, image_id, label, failure FROM staged_predictions) AS staged USING (shard_id, image_id)
LEFT JOIN (SELECT image_id FROM predictions WHERE model_version = %(model_version)s) AS predictions USING (image_id)
LEFT JOIN (SELECT image_id FROM prediction_failures WHERE run_id = %(run_id)s) AS earlier_failures USING (image_id)
