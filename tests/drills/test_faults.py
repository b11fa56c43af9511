"""Faults at named points of a real run: whatever is killed, once it is healed every invariant holds, and the rows are
those of a run without a fault. `docs/faults.md` says which fault is tried where.
"""

import contextlib
import datetime
import itertools
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import straight_run as straight
from stack_settings import stack_settings
from straight_run import RUN, Ingestion

from local.stack import databases, postgres
from strandline import ledger, settings
from strandline.ingest import listing
from strandline.ingest import load as predictions

pytestmark = pytest.mark.timeout(1800)
SEEDS = range(3)
numbers = itertools.count()


@pytest.fixture(scope="module")
def server() -> Iterator[settings.Settings]:
    """A durable Postgres that is for these drills alone: they kill it."""
    with tempfile.TemporaryDirectory(prefix="strandline-drills-") as name:
        home = Path(name)
        home.chmod(0o755)
        config = stack_settings(home)
        databases.start(config)
        try:
            yield config
        finally:
            databases.stop(config)


@contextlib.contextmanager
def new_place(server: settings.Settings) -> Iterator[settings.Settings]:
    """A fresh ledger and an empty store, with the champion and a drop."""
    number = next(numbers)
    home = server.home / f"place-{number}"
    url = databases.another(server, f"drill_{number}")
    with straight.settled(home, url) as chosen:
        straight.install_champion()
        straight.drop(chosen.landing)
        yield chosen


@pytest.fixture
def place(server) -> Iterator[settings.Settings]:
    with new_place(server) as chosen:
        yield chosen


@pytest.fixture(scope="module")
def expected(server) -> dict[str, Any]:
    """What a run without a fault leaves."""
    with new_place(server):
        Ingestion().run()
        return facts()


def facts() -> dict[str, Any]:
    """The versions of files are not among them: each place has files of its own."""
    found = straight.facts()
    for row in found["predictions"]:
        row["probabilities"] = [round(value, 5) for value in row["probabilities"]]
        row["confidence"] = round(row["confidence"], 5)
    return found


def all_is_as(expected: dict[str, Any]) -> None:
    assert straight.broken_invariants() == {}
    assert facts() == expected


def vision_processes(folder: Path) -> list[int]:
    """Of the attempts below a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if str(folder).encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return found


def signalled(folder: Path, number: signal.Signals, after: float) -> Callable[[], None]:
    """From now on, send a signal to the first vision process of a folder, so many seconds after it was seen."""

    def strike() -> None:
        deadline = time.monotonic() + 120
        while not (found := vision_processes(folder)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(after)
        with contextlib.suppress(ProcessLookupError):
            os.kill(found[0], number)

    thread = threading.Thread(target=strike)
    thread.start()
    return thread.join


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("command", ["pack", "classify"])
def test_a_vision_process_killed_at_any_moment_is_tried_again(place, expected, command, seed):
    """F01, F29, F30."""
    moment = random.Random(seed).uniform(0, 4)
    struck: list[Callable[[], None]] = []

    def before(point: str, number: int) -> None:
        if point == command and not struck:
            struck.append(signalled(place.run_folder(RUN) / command, signal.SIGKILL, moment))

    Ingestion(before=before).run()
    struck[0]()
    all_is_as(expected)


@pytest.mark.parametrize("command", ["pack", "classify"])
def test_a_process_that_stood_still_goes_on(place, expected, command):
    """F17: longer than anything may be without a sign of life."""
    struck: list[Callable[[], None]] = []

    def before(point: str, number: int) -> None:
        if point == command and not struck:
            folder = place.run_folder(RUN) / command
            stopped = signalled(folder, signal.SIGSTOP, 1.0)
            waker = threading.Timer(20, lambda: [os.kill(pid, signal.SIGCONT) for pid in vision_processes(folder)])
            waker.start()
            struck.append(stopped)

    Ingestion(before=before).run()
    struck[0]()
    all_is_as(expected)


class Killed(Exception):
    """The task has ended here."""


def kill_postgres(server: settings.Settings) -> None:
    pid = postgres.process_id(server.home / "postgres")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while postgres.process_id(server.home / "postgres") is not None:
        time.sleep(0.02)


LOAD_POINTS = ("mid-COPY", "between COPY and merge", "between merge and commit", "after commit, before it is known")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("where", LOAD_POINTS)
def test_postgres_killed_during_a_load(server, place, expected, monkeypatch, where, seed):
    """F10, F12: and started again, the load is made whole, once."""
    after = random.Random(seed).randrange(1, 15)  # rows that were sent before
    killed: list[str] = []

    def strike() -> None:
        if not killed:
            killed.append(where)
            kill_postgres(server)

    real_rows, real_execute, real_load = predictions._prediction_rows, ledger.execute, predictions.load

    def rows(*arguments: Any) -> Iterator[Any]:
        for number, row in enumerate(real_rows(*arguments)):
            if where == LOAD_POINTS[0] and number == after:
                strike()
            yield row

    def execute(connection: ledger.Connection, query: str, *parameters: Any) -> int:
        if where == LOAD_POINTS[1] and query == "lock_ledger" and in_load:
            strike()
        done = real_execute(connection, query, *parameters)
        if where == LOAD_POINTS[2] and query == "insert_prediction_failures":
            strike()
        return done

    in_load: list[bool] = []

    def load(*arguments: Any) -> dict[str, int]:
        in_load.append(True)
        loaded = real_load(*arguments)
        if where == LOAD_POINTS[3] and not killed:
            strike()
            raise Killed
        return loaded

    monkeypatch.setattr(predictions, "_prediction_rows", rows)
    monkeypatch.setattr(ledger, "execute", execute)
    monkeypatch.setattr(predictions, "load", load)

    def before(point: str, number: int) -> None:
        if point == "load" and number > 1:
            databases.start_server(server)

    Ingestion(before=before).run()
    assert killed
    all_is_as(expected)


@pytest.mark.parametrize("point", straight.POINTS)
def test_a_task_that_ends_after_its_work_and_before_it_says_so(place, expected, monkeypatch, point):
    """F05, F15, F30: whatever it left, the next try makes the same of it."""
    ended: list[str] = []
    real = Ingestion.step

    def step(self: Ingestion, name: str, work: Callable[[int], Any]) -> Any:
        def once(number: int) -> Any:
            done = work(number)
            if name == point and not ended:
                ended.append(name)
                raise Killed
            return done

        return real(self, name, once)

    monkeypatch.setattr(Ingestion, "step", step)
    Ingestion().run()
    assert ended == [point]
    all_is_as(expected)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("runs", [(RUN, RUN), (RUN, f"{RUN}-again")], ids=["the same run", "two runs"])
def test_a_run_twice_at_the_same_moment(place, expected, runs, seed):
    """F07, F16, F31, F32."""
    begin = threading.Barrier(2)
    pause = random.Random(seed).uniform(0, 1)
    errors: list[BaseException] = []

    def go(run_id: str, late: float) -> None:
        begin.wait()
        time.sleep(late)
        try:
            Ingestion(run_id).run()
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=go, args=(run, late)) for run, late in zip(runs, (0.0, pause), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    found = facts()
    assert straight.broken_invariants() == {}
    assert {name: found[name] for name in ("entries", "predictions", "failures")} == {
        name: expected[name] for name in ("entries", "predictions", "failures")
    }


def test_a_drop_is_listed_whole_whatever_its_shape(place):
    """100,000 files in one folder, and 20,000 folders with a file each: every one has its row."""
    hour = place.landing / f"{straight.HOUR:%Y-%m-%dT%H}"
    program = (
        "import os, sys; root = sys.argv[1]; os.mkdir(root + '/many')\n"
        "for i in range(100_000): open(f'{root}/many/{i}.png', 'wb').close()\n"
        "for i in range(20_000): os.mkdir(f'{root}/{i}'); open(f'{root}/{i}/a.png', 'wb').close()\n"
    )
    subprocess.run(["python3", "-c", program, hour], check=True)
    asked = listing.Run(RUN, "manual", straight.HOUR, straight.HOUR + datetime.timedelta(hours=1))
    listed = listing.list_entries(asked)
    with ledger.connect("ingest") as connection:
        (row,) = connection.execute("SELECT listed FROM runs").fetchall()
        (entries,) = connection.execute("SELECT count(*) AS n FROM run_entries").fetchall()
    assert row["listed"] == entries["n"] == 120_033
    assert len(listed.pack) <= place.ingest.max_shards
    again = listing.list_entries(asked)
    assert [request.shard_id for request in again.pack] == [request.shard_id for request in listed.pack]
