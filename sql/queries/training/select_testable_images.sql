-- Labelled images that landed from a moment on, and that no model has learnt from.
SELECT image_id, label, folder
FROM labelled_images
WHERE label = ANY(%(classes)s) AND packed_for = ANY(%(versions)s) AND drop_at >= %(since)s
  AND NOT learnt AND NOT held_out
