-- Images of a set that another set may not have: what models learn from is never what they are tested on.
SELECT theirs.dataset_id, datasets.kind, count(*) AS images
FROM dataset_images AS ours
JOIN dataset_images AS theirs USING (image_id)
JOIN datasets ON datasets.dataset_id = theirs.dataset_id
WHERE ours.dataset_id = %(dataset_id)s
  AND (datasets.kind IN ('original', 'training')) <> (%(kind)s IN ('original', 'training'))
GROUP BY theirs.dataset_id, datasets.kind
ORDER BY images DESC
