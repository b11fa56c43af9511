"""The executor of the one-machine stack."""

import threading
from types import SimpleNamespace

import pytest
from airflow.models.taskinstancekey import TaskInstanceKey
from airflow.utils.state import TaskInstanceState

from local.stack.executor import WakingExecutor

ENDED = TaskInstanceKey("ingest_images", "list", "manual__1", 1, -1)


@pytest.fixture
def executor():
    executor = WakingExecutor(parallelism=1)
    executor.start()
    yield executor
    executor.end()


def test_a_task_that_ends_while_the_scheduler_waits_is_known_in_the_same_round(executor):
    executor.running.add(ENDED)
    ends = threading.Timer(0.1, executor.result_queue.put, [(ENDED, TaskInstanceState.SUCCESS, None)])
    ends.start()
    executor.heartbeat()
    ends.join()
    assert executor.event_buffer == {ENDED: (TaskInstanceState.SUCCESS, None)}
    assert not executor.running


def test_a_round_in_which_tasks_are_given_out_does_not_wait(executor, monkeypatch):
    waited = []
    monkeypatch.setattr("local.stack.executor.wait", lambda *_: waited.append(True))
    monkeypatch.setattr(executor, "activity_queue", SimpleNamespace(put=lambda _: None, empty=lambda: True))
    executor.queued_tasks[ENDED] = SimpleNamespace(key=ENDED)
    executor._process_workloads([executor.queued_tasks[ENDED]])
    executor.sync()
    assert waited == []
    executor.sync()
    assert waited == [True]
