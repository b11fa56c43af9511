-- Of the sets of a kind, the one that was frozen last: if classes are given, of those with no other label; and of those
-- with some label of others that are given.
SELECT *
FROM datasets
WHERE kind = %(kind)s
  AND (
      %(classes)s::text[] IS NULL
      OR NOT EXISTS (
          SELECT FROM dataset_images
          WHERE dataset_images.dataset_id = datasets.dataset_id AND label <> ALL (%(classes)s::text[])
      )
  )
  AND (
      %(some_of)s::text[] IS NULL
      OR EXISTS (
          SELECT FROM dataset_images
          WHERE dataset_images.dataset_id = datasets.dataset_id AND label = ANY (%(some_of)s::text[])
      )
  )
ORDER BY made_at DESC, dataset_id
LIMIT 1
