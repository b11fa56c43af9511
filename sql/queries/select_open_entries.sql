-- What a run takes up of the files it has seen, by their position: those without an outcome, and from the start of its
-- interval on also those whose image lacks a prediction by the run's version. `returned`: it is here, though an earlier
-- run found it gone.
SELECT seen.position::integer - 1 AS position, outcomes.state IS NOT DISTINCT FROM 'vanished' AS returned
FROM unnest(%(drops)b::timestamptz[], %(names)b::bytea[], %(versions)b::text[]) WITH ORDINALITY
    AS seen (drop_at, name, version, position)
LEFT JOIN entries
    ON entries.drop_at = seen.drop_at AND sha256(entries.name) = sha256(seen.name) AND entries.version = seen.version
LEFT JOIN outcomes USING (entry_id)
LEFT JOIN predictions ON predictions.image_id = outcomes.image_id AND predictions.model_version = %(model)s
WHERE outcomes.entry_id IS NULL
   OR outcomes.state = 'vanished'
   OR (seen.drop_at >= %(start)s AND outcomes.image_id IS NOT NULL AND predictions.image_id IS NULL)
