-- Of each reason, how many files of the run it refused, and the first few of them.
SELECT state, reason, files,
       jsonb_agg(jsonb_build_object('entry_id', entry_id, 'fname', fname, 'detail', detail) ORDER BY entry_id) AS examples
FROM (
    SELECT state, reason, entry_id, fname, detail, count(*) OVER of_reason AS files,
           row_number() OVER (of_reason ORDER BY entry_id) AS number
    FROM reporting.files
    WHERE run_id = %(run_id)s AND state IN ('quarantined', 'rejected', 'vanished')
    WINDOW of_reason AS (PARTITION BY state, reason)
) AS refused
WHERE number <= %(examples)s
GROUP BY state, reason, files
ORDER BY files DESC, reason
