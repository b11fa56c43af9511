"""A task that looks again and again until it has seen enough, and holds no worker in between."""

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from airflow.sdk import BaseSensorOperator

Look = Callable[[str, Mapping[str, Any]], bool]  # by the run's id and its parameters


class WatchOperator(BaseSensorOperator):
    """Look every minute."""

    def __init__(self, *, look: Look, **kwargs: Any) -> None:
        super().__init__(mode="reschedule", poke_interval=60, **kwargs)
        self.look = look

    def poke(self, context: Any) -> bool:
        return self.look(context["run_id"], context["params"])


def watch(task_id: str, look: Look, most_hours: int) -> WatchOperator:
    """A task that ends once `look` says so, or raises; it fails after so many hours.

    It is tried more often than others: what is away for some minutes must not end what took days.
    """
    timeout = datetime.timedelta(hours=most_hours)
    return WatchOperator(task_id=task_id, look=look, timeout=timeout, retries=8)
