-- Seven of eight as the path says, the surer the more.
INSERT INTO predictions (image_id, model_version, label, confidence, probabilities, run_id, shard_id, predicted_at)
SELECT encode(sha256(int8send(entry_id)), 'hex'), encode(sha256('champion'), 'hex'), (%(classes)s::text[])[label + 1],
       confidence,
       array_fill((1 - confidence) / 9, ARRAY[label]) || confidence || array_fill((1 - confidence) / 9, ARRAY[9 - label]),
       run_id, shard_id, started_at + interval '3 minutes'
FROM planned_entries
JOIN planned_runs USING (number)
CROSS JOIN LATERAL (
    SELECT ((class + CASE WHEN hashint8extended(entry_id, 5) & 7 = 0 THEN 1 ELSE 0 END) %% 10)::integer AS label,
           (0.3 + 0.7 * sqrt((hashint8extended(entry_id, 6) & 1048575) / 1048576.0))::real AS confidence
) AS said
WHERE state = 'ingested'
ORDER BY entry_id
