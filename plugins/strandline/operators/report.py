"""`@report_task`: a task that writes a report. In Airflow it has a button that opens it, and its run a note of what it
says.
"""

from collections.abc import Callable
from typing import Any

from airflow.providers.common.compat.sdk import task_decorator_factory
from airflow.providers.standard.decorators.python import _PythonDecoratedOperator
from airflow.sdk import BaseOperatorLink

from strandline import reports
from strandline.operators.notes import NOTE


class ReportLink(BaseOperatorLink):
    """The report of a task, even of one that is red because of what it says."""

    name = "Open report"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Asked by the process that ran the task, when it ends."""
        return str(getattr(operator, "report", ""))


class ReportOperator(_PythonDecoratedOperator):
    custom_operator_name = "@report_task"
    operator_extra_links = (ReportLink(),)

    def execute(self, context: Any) -> Any:
        with reports.collect() as published:
            try:
                return super().execute(context)
            finally:
                if published:
                    self.report = published[-1].address
                    context["ti"].xcom_push(NOTE, published[-1].line)


def report_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> Any:
    """As Airflow's `@task`."""
    return task_decorator_factory(python_callable, decorated_operator_class=ReportOperator, **kwargs)
