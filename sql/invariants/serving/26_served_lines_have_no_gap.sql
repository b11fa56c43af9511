-- Of each serving process, every line up to the last loaded one is recorded, but for as many as were refused or forgotten
-- since. So what was answered is what is recorded and what lies in spools still.
SELECT server, last_sequence, recorded, forgotten, refused
FROM (
    SELECT server, coalesce(last_sequence, 0) AS last_sequence, coalesce(recorded, 0) AS recorded,
           coalesce(forgotten, 0) AS forgotten, coalesce(refused, 0) AS refused, first_recorded, last_recorded
    FROM serving_spools
    FULL JOIN (
        SELECT server, count(*) AS recorded, min(sequence) AS first_recorded, max(sequence) AS last_recorded
        FROM (
            SELECT server, sequence FROM served_predictions
            UNION ALL
            SELECT server, sequence FROM served_feedback
        ) AS lines
        GROUP BY server
    ) AS found USING (server)
    LEFT JOIN (
        SELECT server, sum(forgotten)::bigint AS forgotten FROM served_days GROUP BY server
    ) AS gone USING (server)
    LEFT JOIN (
        SELECT server, count(*) AS refused FROM served_refused_lines GROUP BY server
    ) AS unread USING (server)
) AS counted
WHERE last_sequence - recorded - forgotten NOT BETWEEN 0 AND refused OR first_recorded < 1 OR last_recorded > last_sequence
