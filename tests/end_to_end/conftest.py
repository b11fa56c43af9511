"""A whole Strandline on free ports: Postgres, Airflow's processes, the champion, and real images of CIFAR-10."""

import contextlib
import dataclasses
import datetime
import shutil
import tempfile
from collections.abc import Callable, Iterator
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
        settings.load(), home=worker_home / "home", landing=worker_home / "landing", stable_seconds=0.5, **ports
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
def hour(hours: Callable[[], datetime.datetime]) -> datetime.datetime:
    """An hour that no other test uses."""
    return hours()


@pytest.fixture(scope="session")
def hours() -> Callable[[], datetime.datetime]:
    given = 0

    def give() -> datetime.datetime:
        nonlocal given
        given += 1
        return datetime.datetime(2026, 4, 1, tzinfo=datetime.UTC) + datetime.timedelta(hours=10 * given)

    return give
