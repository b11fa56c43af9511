-- What becomes of each row of a label file. It is known, if the same file says the same before, or the ledger has it as
-- its labeller's last word; of a row with a time, the last word of that time. It waits if its image is not ingested.
INSERT INTO decided_labels (line, image_id, label, labeller, labelled_at, status, reason, detail, shown)
SELECT line, found, label, labeller, coalesce(labelled_at, now()),
       CASE WHEN fault = 'UNKNOWN_IMAGE' AND %(wait)s THEN 'waiting'
            WHEN fault IS NOT NULL THEN 'rejected'
            WHEN row_number() OVER (
                PARTITION BY found, labeller, label, coalesce(labelled_at, now()), fault ORDER BY line
            ) > 1 THEN 'known'
            WHEN EXISTS (
                SELECT
                FROM labels AS word
                WHERE word.image_id = found AND source = 'file' AND word.labeller = named.labeller
                  AND word.label = named.label
                  AND (named.labelled_at IS NULL OR word.labelled_at = named.labelled_at)
                  AND NOT EXISTS (
                      SELECT
                      FROM labels AS later
                      WHERE later.image_id = found AND later.source = 'file' AND later.labeller = named.labeller
                        AND (named.labelled_at IS NULL OR later.labelled_at = named.labelled_at)
                        AND (later.labelled_at, later.file_id) > (word.labelled_at, word.file_id)
                  )
            ) THEN 'known'
            ELSE 'accepted' END,
       CASE WHEN fault = 'UNKNOWN_IMAGE' AND %(wait)s THEN NULL ELSE fault END,
       CASE WHEN fault = 'AMBIGUOUS_PATH' THEN candidates END,
       coalesce(shown, concat_ws(', ', named_by, label, labeller))
FROM (
    SELECT line, label, labeller, labelled_at, shown, coalesce(staged.image_id, staged.entry_id::text) AS named_by,
           coalesce(images.image_id, outcomes.image_id, paths.image_id) AS found, candidates,
           CASE WHEN staged.reason IS NOT NULL THEN staged.reason
                WHEN paths.contents > 1 THEN 'AMBIGUOUS_PATH'
                WHEN coalesce(images.image_id, outcomes.image_id, paths.image_id) IS NULL THEN 'UNKNOWN_IMAGE' END AS fault
    FROM staged_labels AS staged
    LEFT JOIN images ON images.image_id = staged.image_id
    LEFT JOIN outcomes ON outcomes.entry_id = staged.entry_id
    LEFT JOIN (
        SELECT line, min(image_id) AS image_id, count(*) AS contents,
               format('It fits %%s images: %%s.', count(*), string_agg(fname, ' and ' ORDER BY fname)
                   FILTER (WHERE number <= 2)) AS candidates
        FROM (
            SELECT line, image_id, concat(fname, ' (', left(image_id, 12), ')') AS fname,
                   row_number() OVER (PARTITION BY line ORDER BY fname, image_id) AS number
            FROM (
                SELECT line, image_id, min(fname) AS fname
                FROM (SELECT *, rank = min(rank) OVER (PARTITION BY line) AS best FROM staged_paths) AS ranked
                WHERE best
                GROUP BY line, image_id
            ) AS fits
        ) AS numbered
        GROUP BY line
    ) AS paths USING (line)
) AS named
