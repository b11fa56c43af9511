SELECT count(*) AS shards, count(classify) AS classified_shards, coalesce(sum(images), 0)::bigint AS images,
       sum(spawn) AS spawn, sum(import) AS import, sum(verify) AS verify, sum(first_batch) AS first_batch,
       sum(classify) AS classify
FROM reporting.batches
WHERE run_id = %(run_id)s
