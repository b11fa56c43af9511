SELECT sum((seconds ->> 'classify')::double precision) AS seconds, sum(ok + failed)::integer AS images
FROM batches
WHERE run_id = %(run_id)s
