"""Questions to people: a task that waits for one of the approvers, in Airflow's own page of required actions."""

import datetime
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param

from strandline import settings
from strandline.promotion import REASON_LENGTH


def question(task_id: str, subject: str, body: str, options: list[str]) -> HITLOperator:
    """A task that asks the approvers of the settings, and returns what one of them answered.

    There is no default answer: without one in time the task fails, and is not tried again by itself.

    Args:
        subject, body: templates; the body is Markdown.
    """
    chosen = settings.get()
    approvers: list[Any] = [{"id": number, "name": name} for name, number in chosen.approver_ids.items()]
    # Airflow runs no task whose form could not be sent as it is: a missing reason is left for `read_answer` to refuse.
    reason = Param(
        None,
        type=["null", "string"],
        maxLength=REASON_LENGTH,
        title="Reason",
        description="Needed: why you answer so. It stays in the record.",
    )
    return HITLOperator(
        task_id=task_id,
        subject=subject,
        body=body,
        options=options,
        params={"reason": reason},
        assigned_users=approvers,
        response_timeout=datetime.timedelta(hours=chosen.approval_hours),
        retries=0,
    )
