UPDATE batches
SET folder = %(folder)s, result_sha256 = %(result_sha256)s, shard_sha256 = %(shard_sha256)s
WHERE run_id = %(run_id)s AND shard_id = %(shard_id)s
