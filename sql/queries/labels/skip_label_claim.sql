INSERT INTO label_claims (image_id, labeller, until, skipped)
SELECT image_id, %(labeller)s, now(), true FROM images WHERE image_id = %(image_id)s
ON CONFLICT (image_id, labeller) DO UPDATE SET until = excluded.until, skipped = true
