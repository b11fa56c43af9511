-- A run was closed with the numbers that the ledger has: entries by state, distinct images, and failures among them.
SELECT closings.*, listed_found, states_found, images_found, failures_found
FROM closings
LEFT JOIN (
    SELECT run_entries.run_id,
           count(*) AS listed_found,
           ARRAY[
               count(*) FILTER (WHERE state = 'ingested'),
               count(*) FILTER (WHERE state = 'duplicate'),
               count(*) FILTER (WHERE state = 'quarantined'),
               count(*) FILTER (WHERE state = 'rejected'),
               count(*) FILTER (WHERE state = 'vanished')
           ] AS states_found,
           count(DISTINCT image_id) AS images_found
    FROM run_entries
    LEFT JOIN outcomes ON outcomes.entry_id = run_entries.entry_id
    GROUP BY run_entries.run_id
) AS entries ON entries.run_id = closings.run_id
LEFT JOIN (
    SELECT run_id, count(*) AS failures_found FROM prediction_failures GROUP BY run_id
) AS failures ON failures.run_id = closings.run_id
WHERE closings.listed <> coalesce(listed_found, 0)
   OR ARRAY[ingested, duplicates, quarantined, rejected, vanished]::bigint[] <> coalesce(states_found, '{0, 0, 0, 0, 0}')
   OR closings.listed <> ingested + duplicates + quarantined + rejected + vanished
   OR failed <> coalesce(failures_found, 0)
   OR classified + failed <> coalesce(images_found, 0)
