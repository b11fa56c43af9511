-- Labelled images of these classes by drop, the newest first: all that may be used at all, those that may be tested on,
-- and those that may be learnt from.
SELECT drop_at, count(*) AS usable,
       count(*) FILTER (WHERE NOT learnt) AS testable,
       count(*) FILTER (WHERE NOT is_recent) AS learnable
FROM labelled_images
WHERE label = ANY(%(classes)s) AND packed_for = ANY(%(versions)s) AND NOT held_out
GROUP BY drop_at
ORDER BY drop_at DESC
