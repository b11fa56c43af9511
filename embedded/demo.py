"""The whole product on one machine, once through: `make demo`.

It starts the stack, drops real and hostile files into one hour, has Airflow ingest that hour, and says what came of
every file. The hour is fixed at the first time, so that the demo can be repeated: known files stay as they are.
"""

import argparse
import contextlib
import datetime
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from embedded import configuration, hours, postgres, training_sets
from embedded.api import Api, ApiError, Row
from embedded.broken_files import BROKEN_FILES
from embedded.stack import Stack, StackError, access
from embedded.summary import Summary, network_rate, phases, surprises
from strandline import contract, datasets, ledger
from strandline.settings import Settings, SettingsError, load

DAG = "ingest_images"
TASKS = ("list", "pack", "validate", "classify", "load", "close_books")
LOG_LINES = 8


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


ERRORS = (
    *(DemoError, StackError, SettingsError, ApiError, postgres.PostgresError, ledger.LedgerError),
    *(training_sets.PackError, datasets.DatasetError),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="real images; the broken files come on top")
    count = parser.parse_args().count
    try:
        stack = Stack(load())
        with contextlib.closing(stack.api()) as api:
            return run(stack, api, count)
    except ERRORS as error:
        print(f"make demo stopped: {error}", file=sys.stderr)
        return 1


def run(stack: Stack, api: Api, count: int) -> int:
    """Drop, ingest, report; the exit code."""
    hour = demo_hour(stack.settings.home / "demo.json")
    vision(stack.settings, "embedded.cifar")  # before all else: it may have to be fetched
    stack.up()
    print("\n".join(f"  {line}" for line in training_sets.make(stack.settings)))
    # Airflow starts the run of the last hour by itself. It would take up the files while they are being dropped.
    api.wait_quiet(DAG)
    vision(
        stack.settings, "embedded.drop", "--count", str(count), "--hour", hour.strftime(hours.HOUR_FORMAT), "--broken"
    )
    run_id = api.trigger(DAG, (hour, hour + datetime.timedelta(hours=1)))
    state = api.wait(DAG, run_id, progress=Progress().show)
    instances = api.task_instances(DAG, run_id)
    if state != "success":
        print(failure(stack, api, run_id, instances), file=sys.stderr)
        return 1
    return report(stack, hour, run_id, instances)


def demo_hour(memory: Path) -> datetime.datetime:
    """The last full hour at the first call; that same hour ever after."""
    if not memory.exists():
        memory.parent.mkdir(parents=True, exist_ok=True)
        contract.write_json(memory, {"hour": hours.last_full().strftime(hours.HOUR_FORMAT)})
    return hours.parse(json.loads(memory.read_bytes())["hour"])


def vision(settings: Settings, *arguments: str) -> None:
    """Run a module in the vision environment, with what the caller has set for the network.

    Raises:
        DemoError: it failed; it has said why.
    """
    environment = os.environ | configuration.variables(settings) | {"PYTHONPATH": configuration.PYTHONPATH}
    done = subprocess.run([settings.vision_python, "-m", *arguments], env=environment)
    if done.returncode:
        raise DemoError(f"{arguments[0]} ended with exit code {done.returncode}")


class Progress:
    """How far the tasks of a run are: one moving line on a terminal, else a line for every change."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._last = ""
        self._moving = sys.stdout.isatty()

    def show(self, instances: list[Row]) -> None:
        parts = [part for name in TASKS if (part := _part([row for row in instances if row["task_id"] == name]))]
        text = ", ".join(parts)
        seconds = f"{time.monotonic() - self._begin:5.0f} s  "
        if self._moving:
            print(f"\r\x1b[K{seconds}{text}", end="", flush=True)
        elif text != self._last:
            print(f"{seconds}{text}", flush=True)
        self._last = text
        if self._moving and all(
            row["state"] in ("success", "failed", "upstream_failed", "skipped") for row in instances
        ):
            print()


def _part(rows: list[Row]) -> str:
    """One task, as `pack 3/8`; nothing before it starts."""
    states = [row["state"] for row in rows]
    if not any(states):
        return ""
    if set(states) == {"skipped"}:
        return f"{rows[0]['task_id']} skipped"
    done = sum(state in ("success", "skipped") for state in states)
    failed = [state for state in states if state in ("failed", "upstream_failed", "up_for_retry")]
    progress = f" {done}/{len(rows)}" if len(rows) > 1 else "" if done else " ..."
    return f"{rows[0]['task_id']}{progress}{f' {failed[0]}' if failed else ''}"


def failure(stack: Stack, api: Api, run_id: str, instances: list[Row]) -> str:
    """Which tasks failed, what they logged last, and where to look."""
    lines = [f"Run {run_id} failed."]
    for row in (row for row in instances if row["state"] == "failed"):
        task = row["task_id"] if row["map_index"] < 0 else f"{row['task_id']}/mapped/{row['map_index']}"
        lines += [f"\nTask {task} failed; its log ends with:"]
        logged = [line for line in api.log(DAG, run_id, row) if not line.startswith("::")]
        lines += [f"  {line}" for line in logged[-LOG_LINES:]]
        lines += [f"{stack.url}/dags/{DAG}/runs/{run_id}/tasks/{task}"]
    return "\n".join([*lines, "", access(stack)])


def report(stack: Stack, hour: datetime.datetime, run_id: str, instances: list[Row]) -> int:
    """Print what came of the drop; 1 when a broken file came to another end than expected."""
    url = str(stack.settings.database_url)
    summary = Summary.read(url, hour, run_id)
    print("\n".join(["", *summary.lines(), ""]))
    if summary.newly_listed:
        print("\n".join([*phases(instances, TASKS, summary.classified), network_rate(url, run_id), ""]))
    else:
        print(f"  All {summary.listed:,} files were known: nothing was done again, no row was added.\n")
    wrong = surprises(url, hour, BROKEN_FILES)
    for line in wrong:
        print(f"  NOT AS EXPECTED: {line}")
    if not wrong:
        print(f"  The {len(BROKEN_FILES)} broken or hostile files came to the ends that were expected of them.")
    page = stack.settings.run_folder(run_id) / "validation" / "index.html"
    print(f"  Validation: {page}\n  {access(stack)}\n  It stays up until: make down")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
