-- The same content is decoded to the same image, in this run and in earlier ones.
SELECT image_id,
       concat_ws(' ', images.width, images.height, images.format, images.mode, images.bytes) AS recorded,
       concat_ws(' ', staged.width, staged.height, staged.format, staged.mode, staged.bytes) AS found
FROM staged_outcomes AS staged
JOIN images USING (image_id)
WHERE state = 'accepted'
  AND (images.width, images.height, images.format, images.mode, images.bytes)
   <> (staged.width, staged.height, staged.format, staged.mode, staged.bytes)
LIMIT 5
