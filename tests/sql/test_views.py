"""Every view is read whole, on an empty ledger and on full ones, and says the same in every time zone."""

import datetime
import os
from collections.abc import Callable, Iterator

import drift_windows as drifting
import gates as promoting
import ledger_rows as seeding
import psycopg
import pytest
from conftest import Database, new_ledger
from ledger_rows import File, Run, digest, refused, rejected, vanished
from served import Server

from strandline import ledger, settings
from strandline.drift import report as drift
from strandline.drift import schedule
from strandline.ingest import load as predictions
from strandline.labels import load as labels
from strandline.promotion import promotion
from strandline.serving import consumers
from strandline.serving.agent import Agent

ZONES = ["UTC", "America/St_Johns", "Asia/Kathmandu"]
FILES = [File("a.jpg"), File("b.jpg"), File("copy.jpg", content="a.jpg"), refused("broken.jpg")]


def empty(database: Database) -> None:
    """Migrated, and nothing more."""


def closed(database: Database) -> None:
    """Every kind of outcome, and labels of nobody but the paths."""
    sourced = [File("a.jpg", source="shop1", content="b.jpg"), vanished("b.jpg", source="shop2")]
    rest = [vanished("gone.jpg"), rejected("readme.txt"), File("failing.jpg", shard="2")]
    ingest([*FILES, *sourced, *rest], ["failing.jpg"])


def open_run(database: Database) -> None:
    """Listed, and not loaded."""
    Run("run", seeding.register(), FILES).record()


def nothing_landed(database: Database) -> None:
    ingest([])
    labels.choose_audit(["run"])


def one_labeller(database: Database) -> None:
    """One whom nobody can be compared with, on images whose paths say nothing."""
    ingest(FILES)
    with psycopg.connect(database.superuser) as connection:
        connection.execute("UPDATE entries SET path_label = NULL")
    labels.record(digest("a.jpg"), "cat", "ada")


def unanswered(database: Database) -> None:
    """An audit sample of which nobody labelled an image."""
    one_labeller(database)
    labels.choose_audit(["run"])


def labelled(database: Database) -> None:
    """Words of every rank, conflicts, files of every state, and an unusable image."""
    ingest(FILES)
    labels.choose_audit(["run"])
    folder = settings.get().labels.folder
    folder.mkdir()
    words = [("a.jpg", "dog"), ("a.jpg", "frog"), ("nobody", "cat"), ("b.jpg", "?")]
    rows = [f"{digest(name)},{label}" for name, label in words]
    texts = {"a.csv": "\n".join(["image_id,label", *rows]), "none.csv": "no header\n"}
    for name, text in texts.items():
        (folder / name).write_text(text)
        os.utime(folder / name, (0, 0))
    labels.load("labelling")
    labels.record(digest("b.jpg"), None, "ada")
    labels.record(digest("b.jpg"), "cat", "bob")


def reported(database: Database) -> None:
    """Windows with reports, one of them replaced."""
    version = drifting.register(settings.get().store.parent)
    for number in range(2):
        run_id = drifting.ingest(version, drifting.FIRST + number * drifting.HOUR, drifting.rows(100, number), "same")
        (window,) = schedule.list_windows([run_id])
        drift.report(f"report {number}", window)


def promoted(database: Database) -> None:
    """A champion that came through the gate, and went."""
    first, second = seeding.register("first"), seeding.register("second")
    promoting.hold("gate", second, first)
    promotion.record_approval("gate", promoting.answer())
    back = {"run_id": "back", "to_version": first, "expected": second, "by": "op", "reason": "worse"}
    with ledger.connect("promotion") as connection:
        ledger.fetch(connection, "promote", {"gate_id": "gate", "expected": first})
        ledger.fetch(connection, "roll_back", back)


def served(database: Database) -> None:
    """Answers of two versions, one refused and one of a shadow, feedback of every kind, and a consumer that went."""
    first = seeding.register("first")
    ingest(FILES)
    consumers.create("shop", 50, "ann")
    server = Server("one", first)
    server.answer(2, consumer="shop", image_id=digest("a.jpg"))
    server.answer(status="quarantined", reason="TRUNCATED", label=None, confidence=None, probabilities=None)
    second = seeding.register("second")
    given = server.answer(version=second)
    server.answer(version=second, role="shadow", rollout_id="rollout", shadow_of=given.prediction_id)
    rollout = {"rollout_id": "rollout", "version": second, "share": 0.5, "by": "ann", "why": "to see"}
    with ledger.connect("promotion") as connection:
        ledger.fetch(connection, "call_start_rollout", rollout)
    for label in ("dog", "lizard"):
        server.feedback("one-1", label, "shop")
    server.write(b"damaged\n")
    server.die()
    Agent().round()
    consumers.revoke("shop", "ann")


def ingest(files, failing=()) -> None:
    run = Run("run", seeding.register(), files)
    predictions.load(run.run_id, run.ready(failing))
    ledger.close_run(run.run_id)


LEDGERS: list[Callable[[Database], None]] = [
    empty,
    closed,
    open_run,
    nothing_landed,
    one_labeller,
    unanswered,
    labelled,
    reported,
    promoted,
    served,
]


@pytest.fixture(scope="module", params=LEDGERS, ids=lambda fill: fill.__name__)
def filled(request, postgres_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with new_ledger(postgres_port, tmp_path_factory.mktemp("home")) as database:
        request.param(database)
        yield database


def read(database: Database, zone: str) -> dict[str, list[str]]:
    """The rows of every view, whole, each as text that no time zone changes, in order."""
    with psycopg.connect(database.owner, options=f"-c timezone={zone}") as connection:
        names = connection.execute(
            "SELECT format('%I.%I', schemaname, viewname) FROM pg_views WHERE schemaname IN ('public', 'reporting')"
        ).fetchall()
        return {name: sorted(map(_text, connection.execute(f"SELECT * FROM {name}"))) for (name,) in names}


def _text(row: tuple) -> str:
    times = (value.astimezone(datetime.UTC) if isinstance(value, datetime.datetime) else value for value in row)
    return repr(tuple(times))


@pytest.mark.parametrize("zone", ZONES[1:])
def test_every_view_is_read_whole_in_every_time_zone(filled, zone):
    assert read(filled, zone) == read(filled, ZONES[0])
