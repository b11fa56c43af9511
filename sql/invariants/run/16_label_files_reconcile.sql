-- Each row of a loaded label file is accepted, and then a label, or known, or rejected for one reason, or waits, and then
-- becomes one of these. Of no other file is any row used.
SELECT run_id, file_id, state, rows_read, accepted, known, rejected, waiting, labels_found, rejections_found, waits_found,
       waits_accepted, reasons
FROM label_files
LEFT JOIN LATERAL (SELECT count(*) AS labels_found FROM labels WHERE labels.file_id = label_files.file_id) AS words ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS rejections_found FROM label_rejections WHERE label_rejections.file_id = label_files.file_id
) AS rejections ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS waits_found FROM label_waits WHERE label_waits.file_id = label_files.file_id
) AS waits ON true
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE label_wait_ends.state = 'accepted') AS waits_accepted, count(*) AS waits_ended
    FROM label_wait_ends
    WHERE label_wait_ends.file_id = label_files.file_id
) AS ends ON true
WHERE rows_read <> accepted + known + rejected + waiting
   OR state <> 'loaded' AND rows_read <> 0
   OR accepted + waits_accepted <> labels_found
   OR rejections_found <> least(rejected, 100000)
   OR waiting <> waits_found
   OR waits_ended > waiting
   OR rejected <> (SELECT coalesce(sum(rows::bigint), 0) FROM jsonb_each_text(reasons) AS of_reason (reason, rows))
