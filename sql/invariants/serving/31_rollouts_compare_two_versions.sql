-- Every line of a rollout is by its version or by the champion that this is compared with; a canary's and a shadow's by
-- the version.
SELECT prediction_id, rollout_id, role, version
FROM served_predictions AS served
WHERE (rollout_id IS NOT NULL OR role IN ('canary', 'shadow'))
  AND NOT EXISTS (
      SELECT
      FROM rollout_steps
      WHERE rollout_steps.rollout_id = served.rollout_id
        AND served.version = CASE WHEN role IN ('canary', 'shadow') THEN rollout_steps.version
                                  ELSE rollout_steps.champion END
  )
