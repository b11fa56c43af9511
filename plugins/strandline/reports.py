"""Reports of every kind: which there are, where the store has them, and the addresses at which people read them."""

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Literal, NamedTuple
from urllib.parse import quote

from strandline import settings

log = logging.getLogger(__name__)

Kind = Literal["validation", "drift", "gate", "replay"]
PREFIX = "/strandline/reports"
ASSETS = "assets"  # what reports share: a folder of the store, and of the addresses
PAGE = "index.html"


@dataclasses.dataclass(frozen=True)
class Place:
    """Where reports of a kind lie: a `folder` of the store, with the report's id for {}; which of its `files` may be
    read, by whoever may read the DAG.
    """

    folder: str
    dag_id: str
    files: tuple[str, ...]


PLACES: dict[Kind, Place] = {
    "validation": Place("runs/{}/validation", "ingest_images", (PAGE, "files.csv", "near-duplicates.csv")),
    "drift": Place("drift/{}", "report_drift", (PAGE, "report.json", "evidently.json")),
    "gate": Place("gates/{}", "promote_model", (PAGE, "gate.json")),
    "replay": Place("replays/{}", "replay_window", (PAGE, "replay.json")),
}


class Published(NamedTuple):
    """A report that was written: its address, and in a line what it says."""

    address: str
    line: str


_published: ContextVar[list[Published] | None] = ContextVar("published", default=None)


def path(kind: Kind, report: str) -> str:
    """The address of a report, by its id, below Airflow's."""
    return f"{PREFIX}/{kind}/{quote(report, safe='')}/"


def address(kind: Kind, report: str) -> str:
    """Without the setting `airflow_url` it begins with a slash, which does in Airflow's own pages."""
    return settings.get().airflow_url.rstrip("/") + path(kind, report)


def publish(kind: Kind, report: str, line: str) -> str:
    """The address of a report that was just written: the task's log names it, and in Airflow its button opens it.

    Args:
        line: what it says, for the note on the run.
    """
    found = address(kind, report)
    log.info("Open the report: %s", found)
    if (published := _published.get()) is not None:
        published.append(Published(found, line))
    return found


@contextlib.contextmanager
def collect() -> Iterator[list[Published]]:
    """What is published within."""
    published: list[Published] = []
    token = _published.set(published)
    try:
        yield published
    finally:
        _published.reset(token)
