-- What becomes of each entry, by its number alone, so that it is the same each time: half are ingested, a tenth is refused,
-- and the others are duplicates of the image before them. `class` is that of the folder; of duplicates, that of their image, but for a few.
CREATE UNLOGGED TABLE planned_entries AS
SELECT entry_id, number, ordinal, source, state,
       CASE state WHEN 'duplicate' THEN original WHEN 'ingested' THEN entry_id END AS original,
       ((hashint8extended(CASE state WHEN 'duplicate' THEN original ELSE entry_id END, 2) & 1048575)
           + CASE WHEN state = 'duplicate' AND entry_id %% 1000 = 0 THEN 1 ELSE 0 END) %% 10 AS class,
       CASE WHEN state <> 'rejected' THEN encode(sha256(convert_to(number || ' ' || ordinal / %(shard)s, 'UTF8')), 'hex') END
           COLLATE "C" AS shard_id
FROM (
    SELECT *, max(entry_id) FILTER (WHERE state = 'ingested') OVER (ORDER BY entry_id) AS original
    FROM (
        SELECT entry_id, number, ordinal,
               CASE ordinal %% 10 WHEN 9 THEN 'shop' WHEN 8 THEN 'warehouse' ELSE '' END AS source,
               CASE WHEN chance < 88 THEN 'quarantined' WHEN chance < 95 THEN 'rejected' WHEN chance < 100 THEN 'vanished'
                    WHEN chance < 510 AND ordinal > 0 THEN 'duplicate' ELSE 'ingested' END AS state
        FROM planned_runs
        CROSS JOIN LATERAL generate_series(0, entries - 1) AS ordinal
        CROSS JOIN LATERAL (SELECT entries_before + ordinal + 1 AS entry_id) AS entry
        CROSS JOIN LATERAL (SELECT (hashint8extended(entry_id, 1) & 1048575) %% 1000 AS chance) AS drawn
    ) AS drawn
) AS placed
