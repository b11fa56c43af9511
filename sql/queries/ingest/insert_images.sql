-- Of new entries with the same content, the first by drop, name and version is the one that is ingested.
INSERT INTO images (
    image_id, entry_id, width, height, format, mode, bytes, notes,
    brightness, contrast, saturation, sharpness
)
SELECT DISTINCT ON (image_id)
       image_id, entry_id, width, height, format, mode, bytes, notes,
       brightness, contrast, saturation, sharpness
FROM staged_outcomes AS staged
JOIN entries USING (entry_id)
WHERE state = 'accepted' AND NOT EXISTS (SELECT FROM outcomes WHERE outcomes.entry_id = staged.entry_id)
ORDER BY image_id, drop_at, name, version
ON CONFLICT (image_id) DO NOTHING
