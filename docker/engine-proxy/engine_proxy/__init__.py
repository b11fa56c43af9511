"""The filter between workers and the Docker Engine: what running a vision task needs goes through, and nothing else.

`policy` says which container may be made, `strict_json` reads what was sent, and `server` lets through.
"""
