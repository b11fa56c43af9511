-- How far spools are loaded.
SELECT server, segment, bytes, last_sequence FROM serving_spools WHERE server = ANY(%(servers)s)
