"""Airflow imports this when a component starts, before it forks.

Tasks are forks of the scheduler's workers, or of Celery's, so what these have imported they have from their start:
without this, every validation would begin with seven seconds of importing. On a cluster the client takes five more,
which every task and every parse of a DAG file would pay.
"""

import os
import sys

if {"scheduler", "worker"} & set(sys.argv):
    import great_expectations  # noqa: F401
    import pyarrow.parquet  # noqa: F401

if {"scheduler", "worker", "dag-processor"} & set(sys.argv) and os.environ.get("STRANDLINE_RUNNER") == "kubernetes":
    import kubernetes.client  # noqa: F401
    import kubernetes_asyncio.client  # noqa: F401
