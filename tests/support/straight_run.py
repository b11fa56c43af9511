"""A drop ingested without Airflow: the same steps, the same vision processes and a real Postgres, one after the other.

What Airflow does about a step that fails is done here: it is tried three times.
"""

import contextlib
import dataclasses
import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from image_files import png

from strandline import ledger, periods, settings
from strandline.errors import PermanentError
from strandline.ingest import listing, tasks
from strandline.models import registry
from strandline.operators.process import ProcessOperator

HOUR = datetime.datetime(2026, 3, 2, 8, tzinfo=datetime.UTC)
RUN = "manual__2026-03-02T09:00:00+00:00"
POINTS = ("list", "pack", "validate", "classify", "load", "close")
TRIES = 3

FACTS = {
    "entries": "SELECT encode(e.name, 'escape') AS name, o.state, o.reason, o.image_id"
    " FROM entries e JOIN outcomes o USING (entry_id) ORDER BY 1",
    "predictions": "SELECT image_id, model_version, label, confidence, probabilities FROM predictions ORDER BY 1, 2",
    "failures": "SELECT image_id, model_version, reason FROM prediction_failures ORDER BY 1, 2",
    "closings": "SELECT listed, ingested, duplicates, quarantined, rejected, vanished, classified, failed"
    " FROM closings WHERE listed > 0",
}


@contextlib.contextmanager
def settled(home: Path, url: str, **changes: Any) -> Iterator[settings.Settings]:
    """The settings name this home, its landing zone, and this ledger."""
    values = {"home": home, "landing": home / "landing", "labels": home / "labels", "database_url": url}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (values | {"stable_seconds": 0.0, "cores": 1} | changes).items():
            patch.setenv(f"STRANDLINE_{name.upper()}", str(value))
        settings.get.cache_clear()
        yield settings.get()
    settings.get.cache_clear()


def drop(folder: Path, good: int = 30, broken: int = 2) -> None:
    """Images of different pixels, some of them cut short, and a copy."""
    place = folder / f"{HOUR:{periods.get().path_format}}" / "cat"
    place.mkdir(parents=True)
    for number in range(good):
        (place / f"{number:03d}.png").write_bytes(png(number))
    for number in range(broken):
        (place / f"broken{number}.png").write_bytes(png(1000 + number)[:-50])
    (place / "copy.png").write_bytes(png(0))


def install_champion() -> str:
    registry.install_bundles(settings.REPOSITORY / "models", "a test")
    with ledger.connect("promotion") as connection:
        return str(ledger.fetch(connection, "select_champion")[0]["version"])


@dataclasses.dataclass
class Ingestion:
    """A run, step by step. `before` is called with the name of each step and its try, from 1 on."""

    run_id: str = RUN
    before: Callable[[str, int], None] = lambda point, number: None
    shard_size: int = 17

    def run(self) -> dict[str, int]:
        """The numbers of its closing."""
        asked = listing.Run(self.run_id, "manual", HOUR, HOUR + periods.get().length, shard_size=self.shard_size)
        listed = self.step("list", lambda number: listing.list_entries(asked))
        run = listed.run.to_dict()
        packed = [self.vision("pack", request.to_dict()) for request in listed.pack]
        requests = self.step("validate", lambda number: tasks.validate(run, packed))
        classified = [self.vision("classify", request) for request in requests]
        self.step("load", lambda number: tasks.load(self.run_id, classified))
        counts: dict[str, int] = self.step("close", lambda number: ledger.close_run(self.run_id))
        return counts

    def vision(self, command: str, request: dict[str, Any]) -> dict[str, Any]:
        def attempt(number: int) -> Any:
            operator = ProcessOperator(task_id=command, vision_command=command, request=request)
            return operator.execute({"run_id": self.run_id, "ti": SimpleNamespace(try_number=number)})

        done: dict[str, Any] = self.step(command, attempt)
        return done

    def step(self, point: str, work: Callable[[int], Any]) -> Any:
        for number in range(1, TRIES + 1):
            try:
                self.before(point, number)
                return work(number)
            except PermanentError:
                raise
            except Exception:
                if number == TRIES:
                    raise
        raise AssertionError("unreachable")


def facts(url: str | None = None) -> dict[str, list[dict[str, Any]]]:
    """What the ledger holds, apart from which run wrote it and when."""
    with ledger.connect("ingest", url) as connection:
        return {name: connection.execute(query).fetchall() for name, query in FACTS.items()}


def broken_invariants(url: str | None = None) -> dict[str, Any]:
    with ledger.connect("ingest", url) as connection:
        return {name: rows for name, rows in ledger.check_invariants(connection).items() if rows}
