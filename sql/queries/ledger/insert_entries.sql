INSERT INTO entries (source, drop_at, name, version, display_name, path_label, size, modified_at)
SELECT source, drop_at, name, version, display_name, path_label, size, modified_at
FROM staged_entries
ORDER BY drop_at, shard_id, ordinal
ON CONFLICT (drop_at, sha256(name), version) DO NOTHING
