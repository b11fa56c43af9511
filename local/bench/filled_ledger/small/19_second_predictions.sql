-- It contradicts the champion once in sixteen.
INSERT INTO predictions (image_id, model_version, label, confidence, probabilities, run_id, shard_id, predicted_at)
SELECT image_id, runs.model_version, (%(classes)s::text[])[place],
       confidence,
       array_fill((1 - confidence) / 9, ARRAY[place - 1]) || confidence
           || array_fill((1 - confidence) / 9, ARRAY[10 - place]),
       runs.run_id, run_entries.shard_id, started_at + interval '3 minutes'
FROM runs
JOIN run_entries USING (run_id)
JOIN images USING (entry_id)
JOIN predictions AS first USING (image_id)
CROSS JOIN LATERAL (
    SELECT CASE WHEN hashint8extended(entry_id, 7) & 15 = 0 THEN 1 + array_position(%(classes)s::text[], first.label) %% 10
                ELSE array_position(%(classes)s::text[], first.label) END AS place
) AS said
WHERE kind = 'backfill'
