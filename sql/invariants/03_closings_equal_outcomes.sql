-- A run was closed with the numbers that the ledger has: entries by state, images classified and failed.
SELECT closings.*, entries.listed AS listed_found, states_found, classified_found, failed_found
FROM closings
LEFT JOIN (
    SELECT run_entries.run_id,
           count(*) AS listed,
           ARRAY[
               count(*) FILTER (WHERE state = 'ingested'),
               count(*) FILTER (WHERE state = 'duplicate'),
               count(*) FILTER (WHERE state = 'quarantined'),
               count(*) FILTER (WHERE state = 'rejected'),
               count(*) FILTER (WHERE state = 'vanished')
           ] AS states_found
    FROM run_entries
    LEFT JOIN outcomes ON outcomes.entry_id = run_entries.entry_id
    GROUP BY run_entries.run_id
) AS entries ON entries.run_id = closings.run_id
LEFT JOIN (
    SELECT run_id,
           count(DISTINCT image_id) FILTER (WHERE failure IS NULL AND predicted_by IS NOT NULL) AS classified_found,
           count(DISTINCT image_id) FILTER (WHERE failure IS NOT NULL) AS failed_found
    FROM run_images
    GROUP BY run_id
) AS images ON images.run_id = closings.run_id
WHERE closings.listed <> coalesce(entries.listed, 0)
   OR ARRAY[ingested, duplicates, quarantined, rejected, vanished]::bigint[] <> coalesce(states_found, '{0, 0, 0, 0, 0}')
   OR closings.listed <> ingested + duplicates + quarantined + rejected + vanished
   OR classified <> coalesce(classified_found, 0)
   OR failed <> coalesce(failed_found, 0)
