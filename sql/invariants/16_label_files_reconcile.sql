-- Each row of a loaded label file is accepted, and then a label, or known, or rejected for one reason. Of no other file is
-- any row used.
SELECT run_id, file_id, state, rows_read, accepted, known, rejected, labels_found, rejections_found, reasons
FROM label_files
LEFT JOIN LATERAL (SELECT count(*) AS labels_found FROM labels WHERE labels.file_id = label_files.file_id) AS words ON true
LEFT JOIN LATERAL (
    SELECT count(*) AS rejections_found FROM label_rejections WHERE label_rejections.file_id = label_files.file_id
) AS rejections ON true
WHERE rows_read <> accepted + known + rejected
   OR state <> 'loaded' AND rows_read <> 0
   OR accepted <> labels_found
   OR rejections_found <> least(rejected, 100000)
   OR rejected <> (SELECT coalesce(sum(rows::bigint), 0) FROM jsonb_each_text(reasons) AS of_reason (reason, rows))
