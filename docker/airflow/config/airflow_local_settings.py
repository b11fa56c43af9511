"""Airflow imports this when a component starts, before it forks.

Tasks are forks of the scheduler's workers, or of Celery's, so what these have imported they have from their start:
without this, every validation would begin with seven seconds of importing.
"""

import sys

if {"scheduler", "worker"} & set(sys.argv):
    import great_expectations  # noqa: F401
    import pyarrow.parquet  # noqa: F401
