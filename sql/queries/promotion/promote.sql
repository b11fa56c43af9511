SELECT promote(%(gate_id)s, %(expected)s) AS since
