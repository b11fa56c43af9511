INSERT INTO images (
    image_id, entry_id, width, height, format, mode, bytes, brightness, contrast, saturation, sharpness
)
SELECT encode(sha256(int8send(entry_id)), 'hex'), entry_id, 32, 32, 'JPEG', 'RGB', 3000,
       (hashint8extended(entry_id, 4) & 1023) / 1024.0, 0.5, 0.5, 0.5
FROM planned_entries
WHERE state = 'ingested'
ORDER BY entry_id
