"""Questions to people: a task that waits for one of the approvers, in Airflow's own page of required actions."""

import datetime
from collections.abc import Callable
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator

from strandline import settings
from strandline.operators import params

Ask = Callable[[str], tuple[str, str]]  # by the run's id, a line and a body in Markdown
Take = Callable[[str, dict[str, Any]], object]  # by the run's id, and what a person answered


class ApprovalOperator(HITLOperator):
    """Ask, and take the answer where Airflow hands it on: whoever may change an XCom changes neither."""

    def __init__(self, *, ask: Ask, take: Take, **kwargs: Any) -> None:
        super().__init__(subject="", body="", **kwargs)
        self.ask, self.take = ask, take

    def execute(self, context: Any) -> Any:
        self.subject, self.body = self.ask(context["run_id"])
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        answer = super().execute_complete(context, event)
        self.take(context["run_id"], answer)
        return answer


def request_approval(task_id: str, ask: Ask, options: list[str], take: Take) -> ApprovalOperator:
    """A task that asks the approvers of the settings, and hands on what one of them answered.

    There is no default answer: without one in time the task fails, and is not tried again by itself.
    """
    config = settings.get()
    approvers: list[Any] = [{"id": number, "name": name} for name, number in config.promotion.approver_ids.items()]
    # Airflow runs no task whose form could not be sent as it is: a missing reason is left for `read_answer` to refuse.
    reason = params.reason("Needed: why you answer so. It stays in the record.")
    return ApprovalOperator(
        task_id=task_id,
        ask=ask,
        take=take,
        options=options,
        params={"reason": reason},
        assigned_users=approvers,
        response_timeout=datetime.timedelta(hours=config.promotion.approval_hours),
        retries=0,
    )
