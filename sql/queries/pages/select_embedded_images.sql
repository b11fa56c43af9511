-- Of the drops from `since` to `period`, the images with the smallest hashes, which is as good as random, and always the
-- same; and these images. By attempt, those of these images first.
SELECT shard_id, folder, result_sha256, array_agg(image_id ORDER BY image_id) AS images
FROM (
    (
        SELECT image_id, shard_id, folder, result_sha256
        FROM reporting.image_embeddings
        WHERE drop_at BETWEEN %(since)s AND %(period)s AND model_version = %(version)s
        ORDER BY image_id
        LIMIT %(limit)s
    )
    UNION
    SELECT image_id, shard_id, folder, result_sha256
    FROM reporting.image_embeddings
    WHERE image_id = ANY(%(image_ids)s) AND model_version = %(version)s
) AS embedded
GROUP BY shard_id, folder, result_sha256
ORDER BY bool_or(image_id = ANY(%(image_ids)s)) DESC, folder
