-- Of the runs that began in the last so many hours; of none, one row of zeros.
SELECT count(*) AS runs, count(*) FILTER (WHERE closed_at IS NULL) AS open,
       coalesce(sum(listed), 0)::bigint AS listed,
       coalesce(sum(ingested), 0)::bigint AS ingested, coalesce(sum(duplicates), 0)::bigint AS duplicates,
       coalesce(sum(quarantined), 0)::bigint AS quarantined, coalesce(sum(rejected), 0)::bigint AS rejected,
       coalesce(sum(vanished), 0)::bigint AS vanished,
       coalesce(sum(classified), 0)::bigint AS classified, coalesce(sum(failed), 0)::bigint AS failed
FROM reporting.runs
WHERE started_at > now() - make_interval(hours => %(hours)s)
