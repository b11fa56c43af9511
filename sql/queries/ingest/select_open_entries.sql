-- What a run takes up of the files it has seen, by their position: those without an outcome, and from the start of its
-- interval on also those whose image lacks a prediction by the run's version. `version`: as the ledger has it, which once
-- was written without change time and inode; such a one is the same file if that has not changed since it was listed.
-- `returned`: to be looked for as the next version of itself, since an earlier run found it gone and it is here, or
-- refused it and this run releases it, or since it was released before.
SELECT seen.position::integer - 1 AS position,
       coalesce(entries.version, seen.version) AS version,
       coalesce(later.returned, false) AS returned
FROM unnest(
    %(drops)b::timestamptz[], %(names)b::bytea[], %(versions)b::text[], %(next)b::text[],
    %(plain)b::text[], %(next_plain)b::text[], %(changed_at)b::timestamptz[]
) WITH ORDINALITY AS seen (drop_at, name, version, next_version, plain, next_plain, changed_at, position)
LEFT JOIN LATERAL (
    SELECT entry_id, version, display_name
    FROM entries
    WHERE entries.drop_at = seen.drop_at AND sha256(entries.name) = sha256(seen.name)
      AND entries.version IN (seen.version, seen.plain)
      AND (entries.version = seen.version OR listed_at >= coalesce(seen.changed_at, '-infinity'))
    ORDER BY entries.version = seen.version DESC
    LIMIT 1
) AS entries ON true
LEFT JOIN outcomes USING (entry_id)
LEFT JOIN predictions ON predictions.image_id = outcomes.image_id AND predictions.model_version = %(model)s
LEFT JOIN LATERAL (
    SELECT state = 'vanished'
        OR %(release)s::text = reason
        OR %(release)s::text = 'all' AND state = 'quarantined'
        OR %(release)s::text = ANY (string_to_array(outcomes.notes, ' '))
        OR starts_with(display_name || '/', %(release)s::text || '/')
        OR EXISTS (
            SELECT
            FROM entries AS again
            WHERE again.drop_at = seen.drop_at AND sha256(again.name) = sha256(seen.name)
              AND again.version
                = CASE WHEN entries.version = seen.version THEN seen.next_version ELSE seen.next_plain END
        ) AS returned
) AS later ON state IN ('vanished', 'quarantined', 'rejected')
WHERE outcomes.entry_id IS NULL
   OR later.returned
   OR (seen.drop_at >= %(start)s AND outcomes.image_id IS NOT NULL AND predictions.image_id IS NULL)
