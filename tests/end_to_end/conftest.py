"""A whole Strandline on free ports: Postgres, Airflow's processes, the champion, and real images of CIFAR-10."""

import contextlib
import datetime
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_stack import LATE_HOUR, LATE_IMAGES, Strandline, archive
from stack_settings import stack_settings

from local.stack import serving
from local.stack.api import Api
from local.stack.stack import Stack
from strandline import settings

# What follows every ingestion takes more of a small machine than it does: where it is no test's subject, it rests.
# Awake again, it looks at all that it missed: files of tests that it is the subject of come first.
FOLLOWERS = ("report_drift", "monitor_champion")
HOUR = datetime.timedelta(hours=1)
MINUTES_OF_A_TEST = datetime.timedelta(minutes=3)  # from its drop to its last listing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    needed: dict[Path, set[str]] = {}
    for item in items:
        needed.setdefault(item.path, set()).update(getattr(item, "fixturenames", ()))
    items.sort(key=lambda item: [dag not in needed[item.path] for dag in FOLLOWERS])


@pytest.fixture(scope="session")
def strandline(worker_home: Path) -> Iterator[Strandline]:
    config = stack_settings(
        worker_home / "home",
        os.environ,
        landing=worker_home / "landing",
        labels=worker_home / "labels",
        stable_seconds=0.5,
        gate_recent_rule="non-inferior",  # so that the same weights under another name pass the gate
        gate_latency_ratio=5.0,  # on a machine that does other things as well
        approval_hours=0.025,  # a minute and a half
    )
    stack = Stack(config)
    # A file of long ago that no run has seen: the first scheduled run has to find it.
    Strandline(stack, Api("", "", "")).drop(LATE_HOUR, LATE_IMAGES)
    cache = config.home / "cache"
    cache.mkdir(parents=True)
    (cache / "cifar10").symlink_to(archive().parent)  # what that has fetched
    with stack, contextlib.closing(stack.api()) as api:
        for dag in FOLLOWERS:
            api.pause(dag)
        yield Strandline(stack, api)


@pytest.fixture(scope="session")
def served(strandline: Strandline) -> str:
    """Where it answers; what it adds to the stack ends with the stack."""
    strandline.stack.serve()
    return serving.url(strandline.stack.settings)


@pytest.fixture(scope="module")
def report_drift(strandline: Strandline) -> Iterator[None]:
    """Every ingestion is followed by a report."""
    with strandline.awake("report_drift"):
        yield


@pytest.fixture
def monitor_champion(strandline: Strandline) -> Iterator[None]:
    """Every ingestion is followed by a look at the champion."""
    with strandline.awake("monitor_champion"):
        yield


@pytest.fixture
def config(strandline: Strandline, monkeypatch: pytest.MonkeyPatch) -> Iterator[settings.Settings]:
    """The stack's settings, in this process as well."""
    config = strandline.stack.settings
    monkeypatch.setenv("STRANDLINE_DATABASE_URL", config.database_url)
    monkeypatch.setenv("STRANDLINE_HOME", str(config.home))
    settings.get.cache_clear()
    yield config
    settings.get.cache_clear()


@pytest.fixture(scope="session")
def worker_home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="strandline-e2e-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def hour(hours: Iterator[datetime.datetime]) -> datetime.datetime:
    """An hour that no other test uses."""
    return next(hours)


@pytest.fixture(scope="session")
def hours(strandline: Strandline) -> Iterator[datetime.datetime]:
    """Hours long past. A scheduled run takes up whatever they hold: none lists in the minutes after one is given."""
    first = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)
    return (first + number * HOUR for number in itertools.count() if after_a_scheduled_run(strandline))


def after_a_scheduled_run(strandline: Strandline) -> bool:
    """Wait until the last full hour's run has listed; until the next one's has, if that is near."""
    now = datetime.datetime.now(datetime.UTC)
    full = (now + MINUTES_OF_A_TEST).replace(minute=0, second=0, microsecond=0)
    query = "SELECT FROM runs WHERE kind = 'scheduled' AND interval_end >= %(full)s"
    deadline = time.monotonic() + 600
    while not strandline.rows(query, full=full):
        assert time.monotonic() < deadline, f"no scheduled run has listed by {full}"
        time.sleep(0.2)
    return True
