-- What becomes of each row of a label file. It is known, where the same file says the same before, or the ledger has it:
-- with its time, or, of a row without one, as the last word of its labeller.
INSERT INTO judged_labels (line, image_id, label, labeller, labelled_at, verdict, reason, shown)
SELECT line, found, label, labeller, coalesce(labelled_at, now()),
       CASE WHEN fault IS NOT NULL THEN 'rejected'
            WHEN row_number() OVER (
                PARTITION BY found, labeller, label, coalesce(labelled_at, now()), fault ORDER BY line
            ) > 1 THEN 'known'
            WHEN EXISTS (
                SELECT
                FROM labels AS word
                WHERE word.image_id = found AND source = 'file' AND word.labeller = named.labeller
                  AND word.label = named.label
                  AND (word.labelled_at = named.labelled_at
                       OR named.labelled_at IS NULL AND NOT EXISTS (
                           SELECT
                           FROM labels AS later
                           WHERE later.image_id = found AND later.source = 'file'
                             AND later.labeller = named.labeller AND later.labelled_at > word.labelled_at
                       ))
            ) THEN 'known'
            ELSE 'accepted' END,
       fault, coalesce(shown, concat_ws(', ', named_by, label, labeller))
FROM (
    SELECT line, label, labeller, labelled_at, shown, coalesce(staged.image_id, staged.entry_id::text) AS named_by,
           coalesce(images.image_id, outcomes.image_id, paths.image_id) AS found,
           CASE WHEN staged.reason IS NOT NULL THEN staged.reason
                WHEN paths.contents > 1 THEN 'AMBIGUOUS_PATH'
                WHEN coalesce(images.image_id, outcomes.image_id, paths.image_id) IS NULL THEN 'UNKNOWN_IMAGE' END AS fault
    FROM staged_labels AS staged
    LEFT JOIN images ON images.image_id = staged.image_id
    LEFT JOIN outcomes ON outcomes.entry_id = staged.entry_id
    LEFT JOIN (
        SELECT line, min(image_id) AS image_id, count(*) AS contents FROM staged_paths GROUP BY line
    ) AS paths USING (line)
) AS named
