-- What two versions said of the images of some runs of the first.
SELECT one_label, other_label, agree, count(*) AS images
FROM reporting.prediction_pairs
WHERE run_id = ANY(%(runs)s) AND one_version = %(one)s AND other_version = %(other)s
GROUP BY one_label, other_label, agree
ORDER BY images DESC, one_label, other_label
