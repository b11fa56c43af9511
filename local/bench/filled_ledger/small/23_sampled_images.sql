INSERT INTO audit_images (run_id, image_id, chosen, margin)
SELECT run_id, image_id, 'random', 0.5
FROM (
    SELECT run_id, image_id,
           row_number() OVER (
               PARTITION BY run_id ORDER BY encode(sha256(convert_to(run_id || image_id, 'UTF8')), 'hex') COLLATE "C"
           ) AS place
    FROM planned_entries
    JOIN planned_runs USING (number)
    JOIN images USING (entry_id)
) AS drawn
WHERE place <= 20
