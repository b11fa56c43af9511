"""What every DAG starts from: how often its tasks are tried, what they refuse, and the queue of those that govern."""

import datetime
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from strandline.errors import PermanentError


def refuse_unknown_parameters(context: Any) -> None:
    """Fail a task at once whose run was given a parameter that its DAG does not have: Airflow passes over it.

    Raises:
        PermanentError: there is one; the message names it.
    """
    known = sorted(context["dag"].params)
    if unknown := sorted(set(context["dag_run"].conf or {}) - set(known)):
        raise PermanentError(
            f"there is no parameter {', '.join(map(repr, unknown))}; there are: {', '.join(known) or 'none'}."
            " Start the run again with one of these"
        )


# Of every DAG: a task is tried three times, ever later, and ends; once, if it says that another try cannot fix it.
DEFAULT_ARGS = {
    "owner": "strandline",
    "retries": 2,
    "retry_delay": datetime.timedelta(seconds=5),
    "retry_exponential_backoff": True,
    "max_retry_delay": datetime.timedelta(minutes=5),
    "retry_policy": ExceptionRetryPolicy([RetryRule(PermanentError, RetryAction.FAIL)]),
    "execution_timeout": datetime.timedelta(minutes=30),
    "pre_execute": refuse_unknown_parameters,
}
GOVERNANCE = "governance"  # the queue of tasks that hold gates, and change the champion: its workers alone may do so
