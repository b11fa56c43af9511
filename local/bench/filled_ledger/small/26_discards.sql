-- What was refused as no image is nobody's concern.
SELECT discard('ann', 'discarded', 'notes of the camera', '{"reason": "NOT_IMAGE"}', array_agg(entry_id))
FROM outcomes
WHERE reason = 'NOT_IMAGE'
