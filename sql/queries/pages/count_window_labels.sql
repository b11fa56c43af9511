SELECT label, count(*) AS images, avg(confidence)::double precision AS confidence,
       count(*) FILTER (WHERE correct) AS as_path, count(correct) AS with_path
FROM reporting.predictions
WHERE drop_at = %(period)s AND model_version = %(version)s
GROUP BY label
ORDER BY images DESC, label
