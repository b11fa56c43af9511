-- Somebody looks at an image that people are asked about.
INSERT INTO label_claims (image_id, labeller, until)
SELECT image_id, 'ann', now() FROM images ORDER BY image_id LIMIT 1;
