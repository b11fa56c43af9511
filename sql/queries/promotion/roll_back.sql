SELECT roll_back(%(run_id)s, %(to_version)s, %(expected)s, %(by)s, %(reason)s) AS since
