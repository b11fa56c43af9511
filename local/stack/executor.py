"""Airflow's LocalExecutor, whose scheduler wakes as soon as a task has ended."""

from collections.abc import Sequence
from multiprocessing.connection import wait

from airflow.executors.local_executor import LocalExecutor
from airflow.executors.workloads import ExecutorWorkload

WAIT = 0.5  # seconds: what else happens, as a new run, is seen that late at the most


class WakingExecutor(LocalExecutor):
    """A scheduler with nothing to do sleeps for a second, whatever ends meanwhile: a run of seven steps would wait for
    half of that at each. Here it waits for the next result instead, so its own sleep has to be 0
    (`scheduler_idle_sleep_time`).
    """

    _gave_out = False

    def _process_workloads(self, workload_list: Sequence[ExecutorWorkload]) -> None:
        self._gave_out = True
        super()._process_workloads(workload_list)  # type: ignore[no-untyped-call]

    def sync(self) -> None:
        # After it has given out tasks, the scheduler goes on at once: there may be more than fitted into one round.
        if not self._gave_out:
            wait([self.result_queue._reader], WAIT)  # type: ignore[attr-defined]
        self._gave_out = False
        super().sync()
