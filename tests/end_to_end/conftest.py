"""A whole Strandline on free ports: Postgres, Airflow's processes, the champion, and real images of CIFAR-10."""

import contextlib
import dataclasses
import datetime
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from running import LATE_HOUR, LATE_IMAGES, Strandline

from embedded.api import Api
from embedded.processes import free_port
from embedded.stack import Stack
from strandline import settings


@pytest.fixture(scope="session")
def strandline(worker_home: Path) -> Iterator[Strandline]:
    ports = {name: free_port() for name in ("api_port", "postgres_port")}
    chosen = dataclasses.replace(
        settings.load(),
        home=worker_home / "home",
        landing=worker_home / "landing",
        labels=worker_home / "labels",
        stable_seconds=0.5,
        gate_window_rule="non-inferior",  # so that the same weights under another name pass the gate
        gate_latency_ratio=5.0,  # on a machine that does other things as well
        approval_hours=0.025,  # a minute and a half
        **ports,
    )
    stack = Stack(chosen)
    # A file of long ago that no run has seen: the first scheduled run has to find it.
    Strandline(stack, Api("", "", "")).drop(LATE_HOUR, LATE_IMAGES)
    with stack, contextlib.closing(stack.api()) as api:
        yield Strandline(stack, api)


@pytest.fixture(scope="session")
def worker_home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="strandline-e2e-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def hour(hours: Iterator[datetime.datetime]) -> datetime.datetime:
    """An hour that no other test uses; to come, so that no scheduled run takes up what a test drops there."""
    return next(hours)


@pytest.fixture(scope="session")
def hours() -> Iterator[datetime.datetime]:
    first = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
    return (first + datetime.timedelta(hours=number) for number in itertools.count())
