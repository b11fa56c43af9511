INSERT INTO label_waits (
    file_id, line, image_id, entry_id, drop_at, path, path_shown, places, label, labeller, labelled_at, shown
)
SELECT %(file_id)s, line, staged.image_id, entry_id, drop_at, path, path_shown, places, judged.label, judged.labeller,
       judged.labelled_at, judged.shown
FROM decided_labels AS judged
JOIN staged_labels AS staged USING (line)
WHERE status = 'waiting'
ORDER BY line
