-- What a person says, unless it is that person's last word already; of decisions, anybody's.
INSERT INTO labels (image_id, source, labeller, label)
SELECT %(image_id)s, %(source)s::label_source, %(labeller)s, %(label)s
WHERE NOT EXISTS (
    SELECT
    FROM (
        SELECT label
        FROM labels
        WHERE image_id = %(image_id)s AND source = %(source)s::label_source
          AND (labeller = %(labeller)s OR source = 'decision')
        ORDER BY labelled_at DESC
        LIMIT 1
    ) AS last
    WHERE label = %(label)s
)
