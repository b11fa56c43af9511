"""A task that looks again and again until it has seen enough, and holds no worker in between."""

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from airflow.sdk import BaseSensorOperator

Look = Callable[[str, int, Mapping[str, Any]], bool]  # by the run's id, a number, and the parameters of the run


class WatchOperator(BaseSensorOperator):
    """Look every minute, as what is numbered so."""

    def __init__(self, *, look: Look, number: int, **kwargs: Any) -> None:
        super().__init__(mode="reschedule", poke_interval=60, **kwargs)
        self.look, self.number = look, number

    def poke(self, context: Any) -> bool:
        return self.look(context["run_id"], self.number, context["params"])


def watch(task_id: str, number: int, look: Look, most_hours: int) -> WatchOperator:
    """A task that ends once `look` says so, or raises; it fails after so many hours.

    It is tried more often than others: what is away for some minutes must not end what took days.
    """
    timeout = datetime.timedelta(hours=most_hours)
    return WatchOperator(task_id=task_id, number=number, look=look, timeout=timeout, retries=8)
