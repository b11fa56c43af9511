SELECT count(*)::integer AS classified,
       count(path_label)::integer AS labelled,
       (count(*) FILTER (WHERE path_label = label))::integer AS correct
FROM entries
JOIN outcomes USING (entry_id)
JOIN predictions USING (image_id)
WHERE drop_at = %(drop_at)s AND state = 'ingested' AND model_version = %(model_version)s
