-- Every file of the store whose hash is recorded, and every folder of a batch, whose result.json has the hashes.
SELECT 'bundle' AS kind, bundle || '/manifest.json' AS path, version::text AS sha256 FROM model_versions
UNION ALL
SELECT 'dataset', labels, dataset_id::text FROM datasets
UNION ALL
SELECT 'shard', shard ->> 'path', shard ->> 'sha256' FROM datasets, jsonb_array_elements(shards) AS shard
UNION ALL
SELECT 'batch', folder, NULL FROM batches WHERE folder IS NOT NULL
UNION ALL
SELECT 'drift report', folder || '/index.html', html_sha256 FROM drift_reports
UNION ALL
SELECT 'gate', folder || '/index.html', html_sha256 FROM gates
UNION ALL
SELECT 'replay', folder || '/index.html', html_sha256 FROM replays
