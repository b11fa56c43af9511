"""A running Strandline, as the end-to-end tests use it."""

import contextlib
import dataclasses
import datetime
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from local.demo import cifar
from local.stack import databases
from local.stack.api import Api
from local.stack.stack import Stack
from strandline import ledger, periods, settings

DAG = "ingest_images"
LATE_HOUR = datetime.datetime(2026, 3, 1, 5, tzinfo=datetime.UTC)
LATE_IMAGES = 7


def drop(landing: Path, hour: datetime.datetime, count: int) -> None:
    """Real images, as `make drop` drops them."""
    config = settings.load()  # its home is where the archive is cached
    environment = os.environ | {"STRANDLINE_HOME": str(config.home), "STRANDLINE_LANDING": str(landing)}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, (settings.REPOSITORY, settings.REPOSITORY / "plugins")))
    command = [config.vision.python, "-m", "local.demo.drop"]
    command += ["--count", str(count), "--period", periods.get().write(hour)]
    subprocess.run(command, env=environment, check=True)


def archive() -> Path:
    """CIFAR-10, where the drops have fetched it; another process may be about to."""
    found, _ = cifar.locate(settings.load().home / "cache" / "cifar10")
    return found


def let_the_hour_pass(api: Api) -> None:
    """Wait for the scheduled run if it is due within a minute, or was: it takes every drop that has no outcome yet."""
    minute = datetime.timedelta(minutes=1)
    due = periods.get().floor(datetime.datetime.now(datetime.UTC) + minute)
    while datetime.datetime.now(datetime.UTC) < due + 2 * minute:
        scheduled = [run for run in api.runs(DAG) if run["dag_run_id"] == f"scheduled__{due.isoformat()}"]
        if scheduled and scheduled[0]["state"] in ("success", "failed"):
            return
        time.sleep(1)


@dataclasses.dataclass(frozen=True)
class Strandline:
    """A running stack, and what tests do with it."""

    stack: Stack
    api: Api

    @property
    def landing(self) -> Path:
        return self.stack.settings.landing

    @contextlib.contextmanager
    def awake(self, dag: str) -> Iterator[None]:
        """A DAG that is paused otherwise starts runs; those that it has started end."""
        self.api.pause(dag, False)
        try:
            yield
            self.api.wait_quiet(dag, timeout=600)
        finally:
            self.api.pause(dag)

    def drop(self, hour: datetime.datetime, count: int) -> None:
        let_the_hour_pass(self.api)
        drop(self.landing, hour, count)
        self.settle()

    def settle(self) -> None:
        """Wait until the landing zone's youngest file is as old as a run wants it."""
        newest = max((path.lstat().st_ctime for path in self.landing.rglob("*")), default=0)
        while time.time() - newest <= self.stack.settings.ingest.stable_seconds:
            time.sleep(0.05)

    def trigger(self, hour: datetime.datetime, **params: Any) -> str:
        self.settle()
        return self.api.trigger(DAG, (hour, hour + datetime.timedelta(hours=1)), params)

    def ingest(self, hour: datetime.datetime, expect: str = "success", **params: Any) -> str:
        run_id = self.trigger(hour, **params)
        self.ended(run_id, expect)
        return run_id

    def ended(self, run_id: str, expect: str = "success") -> None:
        """Wait for a run's end; with another state than expected, show what the failed tasks logged."""
        state = self.api.wait(DAG, run_id, timeout=600)
        if state != expect:
            failed = [row for row in self.api.task_instances(DAG, run_id) if row["state"] == "failed"]
            logs = "\n".join(f"--- {row['task_id']}\n" + "\n".join(self.log(run_id, row)[-25:]) for row in failed)
            pytest.fail(f"run {run_id} ended as {state}, not {expect}\n{logs}")

    def command(self, *arguments: str) -> str:
        """What Airflow's command line answers."""
        command = [sys.executable, "-m", "airflow", *arguments]
        done = subprocess.run(command, env=self.stack.environment(), capture_output=True, text=True)
        if done.returncode:
            pytest.fail(f"{' '.join(arguments)} failed:\n{done.stderr[-5000:]}")
        return done.stdout

    def log(self, run_id: str, instance: dict[str, Any]) -> list[str]:
        return self.api.log(DAG, run_id, instance)

    def rows(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        url = databases.url(self.stack.settings, ledger.OWNER)
        with psycopg.connect(url, row_factory=dict_row) as connection:
            return connection.execute(query, parameters).fetchall()

    def facts(self, hour: datetime.datetime) -> dict[str, list[dict[str, Any]]]:
        """What the ledger holds of a drop, apart from which run wrote it and when."""
        of_drop = "FROM entries e JOIN outcomes o USING (entry_id) WHERE e.drop_at = %(hour)s"
        return {
            "entries": self.rows(
                f"SELECT e.entry_id, e.name, e.version, o.state, o.reason, o.image_id {of_drop} ORDER BY 1", hour=hour
            ),
            "predictions": self.rows(
                "SELECT image_id, model_version, label, confidence, probabilities FROM predictions"
                f" WHERE image_id IN (SELECT o.image_id {of_drop}) ORDER BY 1, 2",
                hour=hour,
            ),
        }

    def closing(self, run_id: str) -> dict[str, Any]:
        found = self.rows("SELECT * FROM closings WHERE run_id = %(run_id)s", run_id=run_id)
        assert len(found) == 1, f"{len(found)} closings of {run_id}"
        return found[0]
