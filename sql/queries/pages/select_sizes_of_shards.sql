SELECT shard_id, entries, images FROM reporting.batches WHERE run_id = %(run_id)s
