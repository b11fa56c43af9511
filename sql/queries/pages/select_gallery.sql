-- The least sure first, or the surest; of a drop, which an index finds.
SELECT image_id, fname, source, drop_at, path_label, label, confidence, correct, model_version, run_id, width, height,
       brightness, contrast
FROM reporting.predictions
WHERE drop_at = %(period)s AND model_version = %(version)s
  AND (%(label)s::text IS NULL OR label = %(label)s)
  AND (%(path_label)s::text IS NULL OR path_label = %(path_label)s)
  AND (%(correct)s::boolean IS NULL OR correct = %(correct)s)
  AND (%(least)s::real IS NULL OR confidence >= %(least)s)
  AND (%(most)s::real IS NULL OR confidence <= %(most)s)
  AND (%(after)s::real IS NULL OR (CASE WHEN %(sure)s THEN -confidence ELSE confidence END, image_id)
       > (%(after)s::real, %(after_image)s::text))
ORDER BY CASE WHEN %(sure)s THEN -confidence ELSE confidence END, image_id
LIMIT %(limit)s
