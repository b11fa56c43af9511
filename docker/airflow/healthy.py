"""Is a component of Airflow healthy? `healthy.py scheduler` asks the API server, which knows of every heartbeat."""

import json
import os
import sys
import urllib.request

URL = os.environ.get("STRANDLINE_HEALTH_URL", "http://api-server:8080/api/v2/monitor/health")

with urllib.request.urlopen(URL, timeout=5) as answer:
    parts = json.load(answer)
name = sys.argv[1]
status = (parts.get(name) or {}).get("status")
print(f"{name}: {status}")
sys.exit(status != "healthy")
