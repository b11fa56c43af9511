INSERT INTO outcomes (entry_id, state, reason, detail, sha256, image_id, decoded, run_id, recorded_at)
SELECT entry_id, state,
       CASE state WHEN 'quarantined' THEN (ARRAY['TRUNCATED', 'CORRUPT', 'TOO_SMALL', 'UNIDENTIFIED'])[1 + entry_id %% 4]
                  WHEN 'rejected' THEN 'NOT_IMAGE' WHEN 'vanished' THEN 'MISSING' END,
       CASE state WHEN 'quarantined' THEN 'the decoder stopped at byte ' || entry_id %% 4000 END,
       CASE WHEN original IS NOT NULL OR state = 'quarantined'
            THEN encode(sha256(int8send(coalesce(original, entry_id))), 'hex') END,
       CASE WHEN original IS NOT NULL THEN encode(sha256(int8send(original)), 'hex') END,
       original IS NOT NULL, run_id, started_at + interval '3 minutes'
FROM planned_entries
JOIN planned_runs USING (number)
ORDER BY entry_id
