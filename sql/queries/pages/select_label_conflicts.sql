SELECT image_id, min(fname) AS fname, max(drop_at) AS drop_at,
       jsonb_agg(jsonb_build_object('source', source, 'labeller', labeller, 'label', label) ORDER BY labelled_at) AS words
FROM reporting.label_conflicts
GROUP BY image_id
ORDER BY max(labelled_at) DESC, image_id
LIMIT %(limit)s
