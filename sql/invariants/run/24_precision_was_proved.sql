-- What was classified in another precision than f32 is of a version that had passed the comparison in that runtime.
SELECT run_id, shard_id, model_version,
       batches.versions ->> 'backend' AS backend, batches.versions ->> 'precision' AS precision, device
FROM batches
WHERE batches.versions ->> 'precision' <> 'f32'
  AND NOT EXISTS (
      SELECT FROM model_parity
      WHERE model_parity.version = batches.model_version
        AND model_parity.backend = batches.versions ->> 'backend'
        AND model_parity.precision = batches.versions ->> 'precision'
        AND model_parity.device = batches.device
        AND outcome = 'pass'
        AND recorded_at < loaded_at
  )
