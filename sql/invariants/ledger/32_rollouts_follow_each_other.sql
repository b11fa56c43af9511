-- At most one rollout is on at a time: one begins after the one before it ended, and keeps to its version and champion.
SELECT step_id, rollout_id, number, what
FROM (
    SELECT step_id, rollout_id, number, what, share,
           lag((rollout_id, version, champion)) OVER steps = (rollout_id, version, champion) AS goes_on,
           lag(share, 1, 0::double precision) OVER steps AS share_before,
           lag(number) OVER steps AS number_before
    FROM rollout_steps
    WINDOW steps AS (ORDER BY step_id)
) AS followed
WHERE CASE number WHEN 1 THEN share_before > 0 OR what <> 'shadow'
                  ELSE goes_on IS NOT TRUE OR share_before = 0 OR number <> number_before + 1 END
