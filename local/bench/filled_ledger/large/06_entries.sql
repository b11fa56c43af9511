-- Half of the names are a camera's, the same in every drop. One source has no folders; of the oldest drops, some refused
-- files lie in a folder that is no class.
INSERT INTO entries (
    entry_id, source, drop_at, name, version, display_name, path_label, size, modified_at, listed_at
)
OVERRIDING SYSTEM VALUE
SELECT entry_id, source, since, convert_to(path, 'UTF8'),
       size || '-' || modified || '000000000-c' || modified || '500000000-i' || entry_id, path, folder, size,
       to_timestamp(modified), started_at
FROM planned_entries
JOIN planned_runs USING (number)
CROSS JOIN LATERAL (
    SELECT CASE WHEN source = 'shop' THEN NULL
                WHEN number <= 3 AND state = 'quarantined' AND ordinal %% 7 = 0 THEN 'scans'
                ELSE (%(classes)s::text[])[class + 1] END AS folder,
           3000 + (hashint8extended(entry_id, 3) & 65535) AS size,
           extract(epoch FROM since)::bigint + ordinal %% 3600 AS modified
) AS file
CROSS JOIN LATERAL (
    SELECT CASE source WHEN '' THEN '' ELSE source || '/' END
           || to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24') || coalesce('/' || folder, '') || '/'
           || CASE WHEN ordinal %% 2 = 0 THEN 'IMG_' || lpad(ordinal::text, 6, '0')
                   ELSE left(encode(sha256(int8send(entry_id)), 'hex'), 16) END || '.jpg' AS path
) AS place
ORDER BY entry_id
