"""The whole product on one machine, once through: `make demo`.

It starts the stack, drops real and hostile files into one period, has Airflow ingest that, and says what came of
every file. Into the next ones it drops dark images, most of them of animals: the drift reports ask for another model,
which is trained, tested, approved, put to use, and rolled back. The periods are fixed at the first time, so that the
demo can be repeated: known files stay as they are, and what was trained is not trained again.
"""

import argparse
import contextlib
import datetime
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import strandline_contract as contract
from local.demo import model as demo_model
from local.demo import training_sets
from local.demo.broken_files import BROKEN_FILES
from local.demo.runs import DemoError, finish, follow
from local.stack import configuration, postgres
from local.stack.api import Api, ApiError, Row
from local.stack.stack import Stack, StackError, access
from local.stack.summary import Summary, network_rate, phases, surprises
from strandline import ledger, periods, reports
from strandline.models import datasets
from strandline.settings import Settings, SettingsError, load

DAG = "ingest_images"
DRIFT = "report_drift"
DARK = ("--brightness", "0.4", "--blur", "0.5", "--mostly", "bird", "cat", "deer", "dog", "frog", "horse")
TASKS = ("list", "pack", "validate", "classify", "load", "close_books")


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
    """The story, from the first drop to the way back; the exit code."""
    period = periods.get()
    first = demo_period(stack.settings.home / "demo.json")
    dark, darker, last = (first + number * period.length for number in (1, 2, 3))
    vision(stack.settings, "local.demo.cifar")  # before all else: it may have to be fetched
    stack.up()
    print("\n".join(f"  {line}" for line in training_sets.make(stack.settings)))
    # Airflow starts the run of the last period by itself. It would take up the files while they are being dropped.
    api.wait_quiet(DAG)
    told = demo_model.told(stack)
    run_id = ingest(stack, api, first, "--count", str(count), "--broken")
    wrong = report(stack, first, run_id, api.task_instances(DAG, run_id))
    print(f"\n  Then it is dark for two {period.noun}s, and most images are of animals.\n")
    runs = {first: run_id, dark: ingest(stack, api, dark, "--count", str(count // 2), *DARK)}
    challengers = demo_model.Runs.count(api)
    runs[darker] = ingest(stack, api, darker, "--count", str(count // 2), *DARK)
    for one, name in ((first, "the first"), (dark, "the first dark"), (darker, "the second dark")):
        print("\n".join(["", *drift(stack, one, f"{name} {period.noun}")]))
    if told or demo_model.asked_for(stack, darker):
        if not told and demo_model.promote(stack, api, challengers):
            runs[last] = ingest(stack, api, last, "--count", str(count // 2), *DARK)
            print("\n".join(["", *demo_model.accuracies(stack, runs)]))
            demo_model.roll_back(stack, api)
        print("\n".join(["", *demo_model.history(stack)]))
    print(f"\n  {access(stack)}\n  It stays up until: make down")
    return 1 if wrong else 0


def demo_period(memory: Path) -> datetime.datetime:
    """The first of the last four full periods at the first call; that same one ever after."""
    period = periods.get()
    if not memory.exists():
        memory.parent.mkdir(parents=True, exist_ok=True)
        contract.write_json(memory, {"hour": period.write(period.last_complete() - 3 * period.length)})
    return period.parse(json.loads(memory.read_bytes())["hour"])


def ingest(stack: Stack, api: Api, start: datetime.datetime, *drop: str) -> str:
    """Drop into the period from `start` on, have Airflow ingest it and report its drift; the id of the run.

    Raises:
        DemoError: a run failed; the message says where.
    """
    period = periods.get()
    vision(stack.settings, "local.demo.drop", "--period", period.write(start), *drop)
    before = len(api.runs(DRIFT))
    run_id = finish(stack, api, DAG, api.trigger(DAG, (start, start + period.length)))
    follow(stack, api, DRIFT, before)
    return run_id


def vision(settings: Settings, *arguments: str) -> None:
    """Run a module in the vision environment, with what the caller has set for the network.

    Raises:
        DemoError: it failed; it has said why.
    """
    environment = os.environ | configuration.variables(settings) | {"PYTHONPATH": configuration.PYTHONPATH}
    done = subprocess.run([settings.vision.python, "-m", *arguments], env=environment)
    if done.returncode:
        raise DemoError(f"{arguments[0]} ended with exit code {done.returncode}")


def report(stack: Stack, start: datetime.datetime, run_id: str, instances: list[Row]) -> bool:
    """Print what came of the drop; whether a broken file came to another end than expected."""
    url = str(stack.settings.database_url)
    summary = Summary.read(url, start, run_id)
    print("\n".join(["", *summary.lines(), ""]))
    if summary.newly_listed:
        print("\n".join([*phases(instances, TASKS, summary.classified), network_rate(url, run_id), ""]))
    else:
        print(f"  All {summary.listed:,} files were known: nothing was done again, no row was added.\n")
    in_folder = isinstance(stack.settings.landing, Path)
    landed = [broken for broken in BROKEN_FILES if in_folder or broken.is_for_buckets]
    wrong = surprises(url, start, landed)
    for line in wrong:
        print(f"  NOT AS EXPECTED: {line}")
    if not wrong:
        print(f"  The {len(landed)} broken or hostile files came to the ends that were expected of them.")
    print(f"  Validation: {stack.url}{reports.path('validation', stack.settings.run_folder(run_id).name)}")
    return bool(wrong)


def drift(stack: Stack, start: datetime.datetime, name: str) -> list[str]:
    """What the drift report of a period says, a line each."""
    with ledger.connect("ingest", stack.settings.database_url) as connection:
        window = {"window_start": start, "window_end": start + periods.get().length}
        (row,) = ledger.fetch(connection, "select_window_report", window)
    said = textwrap.wrap(row["sentence"] + (f" {row['held_back']}" if row["held_back"] else ""), 110)
    address = f"{stack.url}{reports.path('drift', Path(row['folder']).name)}"
    return [f"  Drift in {name}: {row['action']}", *(f"    {line}" for line in said), f"    {address}"]


if __name__ == "__main__":
    sys.exit(main())
