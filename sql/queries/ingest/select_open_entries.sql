-- What a run takes up of the files it has seen, by their position: those without an outcome, and from the start of its
-- interval on also those whose image lacks a prediction by the run's version. `returned`: to be looked for as the next
-- version of itself, since an earlier run found it gone and it is here, or refused it and this run releases it, or since
-- it was released before.
SELECT seen.position::integer - 1 AS position, coalesce(later.returned, false) AS returned
FROM unnest(
    %(drops)b::timestamptz[], %(names)b::bytea[], %(versions)b::text[], %(next)b::text[]
) WITH ORDINALITY AS seen (drop_at, name, version, next_version, position)
LEFT JOIN entries
    ON entries.drop_at = seen.drop_at AND sha256(entries.name) = sha256(seen.name) AND entries.version = seen.version
LEFT JOIN outcomes USING (entry_id)
LEFT JOIN predictions ON predictions.image_id = outcomes.image_id AND predictions.model_version = %(model)s
LEFT JOIN LATERAL (
    SELECT state = 'vanished'
        OR reason = ANY (%(release)s::text[])
        OR 'all' = ANY (%(release)s::text[]) AND state = 'quarantined'
        OR string_to_array(outcomes.notes, ' ') && %(release)s::text[]
        OR EXISTS (SELECT FROM unnest(%(release)s::text[]) AS of (path) WHERE starts_with(display_name || '/', path || '/'))
        OR EXISTS (
            SELECT
            FROM entries AS again
            WHERE again.drop_at = seen.drop_at AND sha256(again.name) = sha256(seen.name)
              AND again.version = seen.next_version
        ) AS returned
) AS later ON state IN ('vanished', 'quarantined', 'rejected')
WHERE outcomes.entry_id IS NULL
   OR later.returned
   OR (seen.drop_at >= %(start)s AND outcomes.image_id IS NOT NULL AND predictions.image_id IS NULL)
