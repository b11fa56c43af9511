-- The images at the paths that were not found as they stand: those with a period among the entries of its drop, in
-- another writing; those without one among all entries, read once, by the end of their path. The smaller the rank, the
-- better: a place that comes first in its row, and of one place the whole path, then its end, then the end without the
-- extension.
WITH asked AS MATERIALIZED (
    SELECT line, drop_at, place, position::integer AS position,
           regexp_replace(substring(place FROM '[^/]*$'), '\.[^.]*$', '') AS stem,
           substring(place FROM '[^/]*$') NOT LIKE '%%.%%' AS bare
    FROM staged_labels AS staged
    CROSS JOIN LATERAL unnest(places) WITH ORDINALITY AS of_row (place, position)
    WHERE NOT EXISTS (SELECT FROM staged_paths WHERE staged_paths.line = staged.line)
), landed AS MATERIALIZED (
    SELECT drop_at, entry_id, display_name, normalize(display_name) AS place
    FROM (SELECT DISTINCT drop_at FROM asked) AS drops
    JOIN entries USING (drop_at)
), fitting AS (
    SELECT line, entry_id, display_name, 4 * position AS rank
    FROM asked
    JOIN landed USING (drop_at, place)
    UNION ALL
    SELECT line, entries.entry_id, display_name, 0
    FROM staged_labels AS staged
    JOIN entries ON sha256(entries.name) = sha256(path)
    WHERE staged.drop_at IS NULL
    UNION ALL
    SELECT line, entry_id, display_name,
           4 * position
               + CASE WHEN shown = place THEN 0 WHEN right('/' || shown, length(place) + 1) = '/' || place THEN 1 ELSE 2 END
    FROM asked
    JOIN (
        SELECT entry_id, display_name, shown, regexp_replace(shown, '\.[^./]*$', '') AS trunk,
               regexp_replace(substring(shown FROM '[^/]*$'), '\.[^.]*$', '') AS stem
        FROM (SELECT entry_id, display_name, normalize(display_name) AS shown FROM entries) AS named
    ) AS named USING (stem)
    WHERE drop_at IS NULL
      AND (right('/' || shown, length(place) + 1) = '/' || place
           OR bare AND right('/' || trunk, length(place) + 1) = '/' || place)
)
INSERT INTO staged_paths (line, image_id, fname, rank)
SELECT line, image_id, display_name, rank
FROM fitting
JOIN outcomes USING (entry_id)
WHERE image_id IS NOT NULL
