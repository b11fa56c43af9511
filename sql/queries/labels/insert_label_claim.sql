-- An image that nobody answered for and nobody else looks at: the one they had before, else of the newest sample.
INSERT INTO label_claims (image_id, labeller, until)
SELECT image_id, %(labeller)s, now() + %(length)s
FROM (
    (
        SELECT image_id
        FROM label_claims
        JOIN reporting.unanswered USING (image_id)
        WHERE labeller = %(labeller)s AND until > now() AND NOT skipped
        LIMIT 1
    )
    UNION ALL
    (
        SELECT image_id
        FROM reporting.unanswered
        WHERE NOT EXISTS (
            SELECT
            FROM label_claims
            WHERE label_claims.image_id = unanswered.image_id
              AND CASE labeller WHEN %(labeller)s THEN skipped ELSE until > now() AND NOT skipped END
        )
        ORDER BY chosen_at DESC
        LIMIT 1
    )
) AS open
LIMIT 1
ON CONFLICT (image_id, labeller) DO UPDATE SET until = excluded.until
RETURNING image_id
