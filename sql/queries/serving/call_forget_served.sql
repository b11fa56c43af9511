SELECT forget_served(%(before)s, %(most)s) AS lines
