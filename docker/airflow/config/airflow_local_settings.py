"""Airflow imports this when a component starts, before it forks.

Tasks are forks of the scheduler's workers, or of Celery's, so what these have imported they have from their start:
without this, every validation would begin with seven seconds of importing, and every task with one. On a cluster the
client takes five more, which every task and every parse of a DAG file would pay.
"""

import os
import sys

if {"scheduler", "worker"} & set(sys.argv):
    import airflow.dag_processing.bundles.local
    import airflow.dag_processing.dagbag
    import airflow.sdk.definitions.decorators
    import airflow.sdk.execution_time.task_runner  # noqa: F401

    import strandline.assets
    import strandline.ingest.alert
    import strandline.ingest.load
    import strandline.ingest.tasks
    import strandline.ingest.validation
    import strandline.operators.defaults
    import strandline.operators.params
    import strandline.operators.process
    import strandline.operators.timetable  # noqa: F401

if {"scheduler", "worker", "dag-processor"} & set(sys.argv) and os.environ.get("STRANDLINE_RUNNER") == "kubernetes":
    import kubernetes.client  # noqa: F401
    import kubernetes_asyncio.client  # noqa: F401
