"""Runs of DAGs as the demo waits for them: with progress, and with what failed."""

import sys
import time

from local.stack.api import FINISHED, Api, Row
from local.stack.stack import Stack, access

LOG_LINES = 8
ENDED = ("success", "failed", "upstream_failed", "skipped")
ASKS = "awaiting_input"


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


def finish(stack: Stack, api: Api, dag: str, run_id: str) -> str:
    """Wait for a run's end, or until it asks a person; its id.

    Raises:
        DemoError: it failed; the message says where.
    """
    progress = Progress()
    while True:
        state, instances = api.run(dag, run_id)["state"], api.task_instances(dag, run_id)
        progress.show(instances)
        if state == "failed":
            raise DemoError(failure(stack, api, dag, run_id))
        if state in FINISHED or any(row["state"] == ASKS for row in instances):
            progress.end()
            return run_id
        time.sleep(0.5)


def follow(stack: Stack, api: Api, dag: str, before: int, timeout: float = 120) -> str:
    """As `finish`, of the run that Airflow starts of its own accord, after `before` earlier ones of the DAG.

    Raises:
        DemoError: it does not start in `timeout` seconds, or it failed.
    """
    deadline = time.monotonic() + timeout
    while len(runs := api.runs(dag)) == before:
        if time.monotonic() > deadline:
            raise DemoError(f"{dag} was not started in {timeout:.0f} s: {stack.url}/dags/{dag}")
        time.sleep(0.5)
    return finish(stack, api, dag, runs[-1]["dag_run_id"])


class Progress:
    """How far the tasks of a run are: one moving line on a terminal, else a line for every change."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._last = ""
        self._moving = sys.stdout.isatty()

    def show(self, instances: list[Row]) -> None:
        names = dict.fromkeys(row["task_id"] for row in sorted(instances, key=_started))
        parts = [part for name in names if (part := _part([row for row in instances if row["task_id"] == name]))]
        text = ", ".join(parts)
        seconds = f"{time.monotonic() - self._begin:5.0f} s  "
        if self._moving:
            print(f"\r\x1b[K{seconds}{text}", end="", flush=True)
        elif text != self._last:
            print(f"{seconds}{text}", flush=True)
        self._last = text

    def end(self) -> None:
        if self._moving:
            print()


def _started(row: Row) -> str:
    return str(row["start_date"] or "9")


def _part(rows: list[Row]) -> str:
    """One task, as `pack 3/8`; nothing before it starts, or if it is skipped."""
    states = [row["state"] for row in rows]
    if set(states) <= {None, "skipped"}:
        return ""
    done = sum(state in ("success", "skipped") for state in states)
    failed = [state for state in states if state in ("failed", "upstream_failed", "up_for_retry")]
    progress = f" {done}/{len(rows)}" if len(rows) > 1 else "" if done else " ..."
    return f"{rows[0]['task_id']}{progress}{f' {failed[0]}' if failed else ''}"


def failure(stack: Stack, api: Api, dag: str, run_id: str) -> str:
    """Which tasks failed, what they logged last, and where to look."""
    lines = [f"run {run_id} of {dag} failed"]
    for row in (row for row in api.task_instances(dag, run_id) if row["state"] == "failed"):
        task = row["task_id"] if row["map_index"] < 0 else f"{row['task_id']}/mapped/{row['map_index']}"
        lines += [f"\nTask {task} failed; its log ends with:"]
        logged = [line for line in api.log(dag, run_id, row) if not line.startswith("::")]
        lines += [f"  {line}" for line in logged[-LOG_LINES:]]
        lines += [f"{stack.url}/dags/{dag}/runs/{run_id}/tasks/{task}"]
    return "\n".join([*lines, "", access(stack)])
