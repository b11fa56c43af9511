"""Replays of windows: what is classified again, compared, accounted for and recorded; a real ledger, real files.

A vision process answers the requests of a plan; here `answer` does, since what comes of them is what a test is about.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import gate_evaluations
import ledger_rows as seeding
import numpy as np
import psycopg
import pyarrow.parquet as pq
import pytest
from conftest import Database
from ledger_rows import HOUR, File, Run
from psycopg.types.json import Jsonb
from written_reports import written

import strandline_contract as contract
from strandline import ledger, settings
from strandline.attempts import SealedAttempt
from strandline.ingest import load as predictions
from strandline.models import versions
from strandline.periods import WindowError
from strandline.replay import page as replay_page
from strandline.replay import replay as replays

pytestmark = pytest.mark.usefixtures("database")

START = f"{HOUR:%Y-%m-%dT%H}"
FILES = [File(f"{number}.jpg", shard=f"shard {number % 3}") for number in range(30)]
OTHER_RUNTIME = {"mxnet": "2.0"}
Row = dict[str, Any]


def register(name: str = "first") -> str:
    """A model version whose bundle is in the store."""
    bundle = settings.get().store / "models" / seeding.digest(name)
    bundle.mkdir(parents=True)
    (bundle / contract.BUNDLE_MANIFEST).write_text(name)
    return seeding.register(name)


def ingest(run: Run, failing: Sequence[str] = (), shift: float = 0.0) -> None:
    predictions.load(run.run_id, run.ready(failing, shift))
    ledger.close_run(run.run_id)


@pytest.fixture
def run() -> Run:
    """Thirty images of an hour in three shards, loaded."""
    run = Run("the run", register(), FILES)
    ingest(run)
    return run


def answer(
    requests: Sequence[contract.ClassifyRequest],
    change: Callable[[Row], Row | None] = dict,
    versions: dict[str, str] | None = None,
    device: str = "cpu",
) -> list[SealedAttempt]:
    """An attempt at each request; `change` is to its prediction rows, None takes one out."""
    store, done = settings.get().store, []
    for request in requests:
        folder = store / "attempts" / str(next(seeding.attempt_numbers))
        folder.mkdir(parents=True)
        contract.write_json(folder / contract.REQUEST_FILE, request.to_dict())
        images = pq.read_table(store / request.shard.path)["image_id"].to_pylist()
        rows = [changed for row in seeding.predictions(images) if (changed := change(row))]
        seeding.write_table(folder / contract.PREDICTIONS_FILE, contract.PREDICTION_COLUMNS, rows)
        files = [contract.PREDICTIONS_FILE]
        contract.write_result(folder, "classify", files, {}, {}, versions or {"mxnet": "1.9"}, device)
        sealed = contract.sha256_file(folder / contract.RESULT_FILE)
        done.append(SealedAttempt(request.shard_id, str(folder.relative_to(store)), sealed))
    return done


def replay(run_id: str = "replay 1", start: str = START, **kwargs: Any) -> replays.Compared:
    """Plan, answer and compare; `change`, `versions` and `device` are of the answer."""
    how = {name: kwargs.pop(name) for name in ("change", "versions", "device") if name in kwargs}
    return replays.compare(run_id, answer(replays.plan(run_id, start, **kwargs), **how))


def moved(shift: float, only: str | None = None) -> Callable[[Row], Row]:
    """Rows whose probability moves from the last class to the first."""
    return lambda row: seeding.prediction(row["image_id"], shift) if only in (None, row["image_id"]) else row


def counts(found: replays.Compared) -> dict[str, int]:
    return {name: getattr(found, name) for name in replays.COUNTS if getattr(found, name)}


def report(found: replays.Compared) -> Row:
    return json.loads(written(found.page, "replay.json").read_text())


def rows(found: replays.Compared) -> dict[str, Row]:
    table = pq.read_table(written(found.page, "rows.parquet"))
    assert len(table) == found.images
    return {row["image_id"]: row for row in table.to_pylist()}


def recorded(query: str = "SELECT * FROM replays ORDER BY replayed_at") -> list[Row]:
    with ledger.connect("ingest") as connection:
        return connection.execute(query).fetchall()


def predicted() -> list[Row]:
    return recorded("SELECT * FROM predictions ORDER BY image_id, model_version")


def test_the_same_version_and_runtime_give_the_same_bits(run):
    before = predicted()
    requests = replays.plan("replay 1", START)
    assert {request.shard_id for request in requests} == set(run.shards())
    assert {(request.runtime.batch_size, request.runtime.threads) for request in requests} == {(64, 1)}
    assert {request.bundle.version for request in requests} == {run.version}
    found = replays.compare("replay 1", answer(requests))
    replays.prove(found)
    assert (found.status, counts(found)) == ("equal", {"images": 30, "equal": 30})
    assert {row["status"] for row in rows(found).values()} == {"equal"}
    said = report(found)
    assert said["largest_difference"] == 0
    assert [(one["run_id"], one["model_version"], one["images"]) for one in said["runs"]] == [
        (run.run_id, run.version, 30)
    ]
    assert said["runtimes"][0]["must_be_equal"]
    (row,) = recorded()
    assert row["report"] == said
    assert row["html_sha256"] == contract.sha256_file(written(found.page))
    assert predicted() == before


@pytest.mark.parametrize(("recorded", "wanted"), [({"batch_size": "8"}, 8), ({"batch_size": "64, 16"}, 16), ({}, 64)])
def test_batches_have_the_size_that_they_had(database, recorded, wanted):
    run = Run("the run", register(), FILES)
    ingest(run)
    with psycopg.connect(database.owner) as connection:
        connection.execute("UPDATE batches SET versions = versions || %s", [Jsonb(recorded)])
    requests = replays.plan("replay 1", START)
    assert {request.runtime.batch_size for request in requests} == {wanted}
    found = replays.compare("replay 1", answer(requests, versions={"mxnet": "1.9", "batch_size": str(wanted)}))
    changes = report(found)["runtimes"][0]["changes"]
    assert changes == (["batch_size: 64, 16 then, 16 now"] if wanted == 16 else [])


def test_shards_are_read_in_parts(run, monkeypatch):
    monkeypatch.setattr("strandline.replay.rows.ROWS_AT_ONCE", 4)
    monkeypatch.setattr("strandline.ledger.STREAMED_ROWS", 7)
    lose_shard(run)
    image = FILES[3].image_id
    found = replay(change=moved(1e-4, image))
    assert counts(found) == {"images": 30, "missing": 10, "equal": 19, "within_tolerance": 1, "unequal": 1}
    assert {row["image_id"] for row in report(found)["rows"]} == {image}


def test_a_run_has_one_replay(run):
    first = replay()
    before = {path: path.stat().st_mtime_ns for path in written(first.page).parent.iterdir()}
    assert replays.plan("replay 1", START) == []
    assert replays.compare("replay 1", []) == first
    assert {path: path.stat().st_mtime_ns for path in written(first.page).parent.iterdir()} == before
    assert len(recorded()) == 1
    assert replay("replay 2").page != first.page


def test_one_bit_is_enough_to_be_unequal(run):
    image = FILES[0].image_id

    def nudge(row: Row) -> Row:
        if row["image_id"] != image:
            return row
        nudged = np.nextafter(np.array(row["probabilities"], np.float32), np.float32(1)).tolist()
        return row | {"probabilities": nudged}

    found = replay(change=nudge)
    assert (found.status, counts(found)) == (
        "unequal",
        {"images": 30, "equal": 29, "within_tolerance": 1, "unequal": 1},
    )
    with pytest.raises(replays.ReplayUnequal, match="1 of 30 predictions are not what is recorded"):
        replays.prove(found)
    assert [row["image_id"] for row in report(found)["rows"]] == [image]
    row = rows(found)[image]
    assert row["recorded_probabilities"] == seeding.prediction(image)["probabilities"]
    assert row["probabilities"] != row["recorded_probabilities"]
    assert 0 < row["difference"] < 1e-6


@pytest.mark.parametrize(
    ("kwargs", "says"),
    [
        ({"versions": OTHER_RUNTIME}, "mxnet: 1.9 then, 2.0 now"),
        ({"versions": {"mxnet": "1.9", "processor": "new"}}, "processor: not recorded then, new now"),
    ],
)
def test_another_runtime_may_move_within_the_tolerance(run, kwargs, says):
    found = replay(change=moved(1e-4), **kwargs)
    replays.prove(found)
    assert (found.status, counts(found)) == ("within tolerance", {"images": 30, "within_tolerance": 30})
    assert "30 of 30 predictions moved, by 1.0e-04 at the most" in found.sentence
    assert report(found)["runtimes"][0]["changes"] == [says]
    assert says in written(found.page).read_text()


def test_on_a_gpu_the_same_runtime_may_move_within_the_tolerance(run, database):
    with psycopg.connect(database.owner) as connection:
        connection.execute("UPDATE batches SET device = 'gpu'")
    found = replay(change=moved(1e-4), device="gpu")
    assert (found.status, report(found)["runtimes"][0]["changes"]) == ("within tolerance", [])


def test_no_runtime_may_move_further(run):
    found = replay(change=moved(0.3), versions=OTHER_RUNTIME)
    assert (found.status, counts(found)) == ("unequal", {"images": 30, "different": 30, "unequal": 30})
    with pytest.raises(replays.ReplayUnequal):
        replays.prove(found)
    changed = [row for row in rows(found).values() if row["label"] != row["recorded_label"]]
    assert 0 < len(changed) < 30
    assert all(row["difference"] > 0.001 for row in rows(found).values())


def test_the_page_is_bounded_and_the_file_is_whole(run, monkeypatch):
    monkeypatch.setattr("strandline.replay.rows.SHOWN_ROWS", 5)
    image = FILES[7].image_id
    found = replay(change=lambda row: moved(0.5 if row["image_id"] == image else 1e-4)(row), versions=OTHER_RUNTIME)
    shown = report(found)["rows"]
    assert len(shown) == 5
    assert (shown[0]["image_id"], shown[0]["status"]) == (image, "different")
    assert "and 25 more" in written(found.page).read_text()
    assert sum(row["status"] == "within tolerance" for row in rows(found).values()) == 29


def lose_shard(run: Run, shard: str = "shard 1") -> None:
    (settings.get().store / "shards" / f"{seeding.digest(shard)}.parquet").unlink()


def alter_shard(run: Run) -> None:
    (settings.get().store / "shards" / f"{seeding.digest('shard 1')}.parquet").write_bytes(b"another")


def lose_request(run: Run) -> None:
    shutil.rmtree(settings.get().run_folder(run.run_id) / "classify" / seeding.digest("shard 1"))


def lose_model(run: Run) -> None:
    shutil.rmtree(settings.get().store / "models" / run.version)


@pytest.mark.parametrize(
    ("lose", "images", "reason", "advice"),
    [
        (lose_shard, 10, "SHARD_GONE", "Put it back from a backup of the store"),
        (alter_shard, 10, "SHARD_GONE", "so that no other file is taken for it"),
        (lose_request, 10, "REQUEST_GONE", "Put it back"),
        (lose_model, 30, "MODEL_GONE", "register the same bundle again"),
    ],
)
def test_what_cannot_be_replayed_is_accounted_for(run, lose, images, reason, advice):
    lose(run)
    found = replay()
    assert counts(found) == {"images": 30, "missing": images} | ({"equal": 30 - images} if images < 30 else {})
    assert f"{images} of 30 images could not" in found.sentence or images == 30
    (said,) = report(found)["missing"]
    assert (said["reason"], said["images"]) == (reason, images)
    assert advice in said["advice"]
    assert advice in written(found.page).read_text()
    assert {row["reason"] for row in rows(found).values() if row["status"] == "missing"} == {reason}


def test_a_shard_that_was_put_back_is_replayed(run, tmp_path):
    kept = tmp_path / "backup"
    shutil.copytree(settings.get().store / "shards", kept)
    lose_shard(run)
    assert replay("without").missing == 10
    shutil.copytree(kept, settings.get().store / "shards", dirs_exist_ok=True)
    assert counts(replay("with")) == {"images": 30, "equal": 30}


def test_where_nothing_can_be_replayed_it_is_red(run):
    for number in range(3):
        lose_shard(run, f"shard {number}")
    assert replays.plan("replay 1", START) == []
    found = replays.compare("replay 1", [])
    assert (found.status, counts(found)) == ("not replayed", {"images": 30, "missing": 30})
    with pytest.raises(replays.ReplayError, match="None of the 30 images could be replayed"):
        replays.prove(found)


def test_images_that_were_packed_for_other_pixels_are_missing_and_it_says_what_to_do(run):
    larger = gate_evaluations.make_version("larger", preprocessing={"width": 8, "height": 8})
    assert replays.plan("replay 1", START, model_version=larger) == []
    found = replays.compare("replay 1", [])
    assert (found.status, found.missing) == ("not replayed", 30)
    page = written(found.page).read_text()
    assert "the chosen version wants other pixels" in page
    assert "Trigger ingest_images as a backfill of the window, with that version" in page


def test_an_image_that_its_shard_lacks_is_accounted_for(run):
    image = FILES[4].image_id
    found = replay(change=lambda row: None if row["image_id"] == image else row)
    assert counts(found) == {"images": 30, "missing": 1, "equal": 29}
    assert rows(found)[image]["reason"] == "NOT_IN_SHARD"


def test_an_image_that_failed_must_fail_again(database):
    run = Run("the run", register(), FILES)
    ingest(run, failing=["0.jpg", "1.jpg"])
    failing = {FILES[0].image_id}
    failed = {"label": None, "confidence": None, "probabilities": None, "embedding": None, "failure": "NOT_FINITE"}
    found = replay(change=lambda row: row | failed if row["image_id"] in failing else row)
    assert counts(found) == {"images": 30, "equal": 29, "different": 1, "unequal": 1}
    assert rows(found)[FILES[1].image_id]["status"] == "different"
    assert report(found)["rows"][0]["recorded_label"] is None


def test_a_window_of_several_versions_is_replayed_with_each(run):
    later = [File(f"later {n}.jpg", shard="shard later", drop_at=HOUR + timedelta(hours=1)) for n in range(5)]
    again = [File("again.jpg", content="3.jpg", shard="shard later", drop_at=HOUR + timedelta(hours=1))]
    second = Run("second run", register("second"), later + again)
    ingest(second)
    requests = replays.plan("replay 1", START, f"{HOUR + timedelta(hours=2):%Y-%m-%dT%H}")
    assert {request.bundle.version for request in requests} == {run.version, second.version}
    found = replays.compare("replay 1", answer(requests))
    assert counts(found) == {"images": 35, "equal": 35}
    made = {row["name"]: row["made_by"] for row in rows(found).values()}
    assert made[f"{START}/cat/3.jpg"] == run.version
    # Of the later hour alone, the image that landed again is the second version's.
    found = replay("replay 2", f"{HOUR + timedelta(hours=1):%Y-%m-%dT%H}")
    assert (counts(found), {row["made_by"] for row in rows(found).values()}) == (
        {"images": 6, "equal": 6},
        {second.version},
    )


def test_another_version_is_held_against_the_one_that_predicted(run):
    other = register("second")
    found = replay(model_version=other, change=moved(0.5))
    replays.prove(found)
    assert (found.status, counts(found)) == ("not compared", {"images": 30, "unrecorded": 30})
    agreement = report(found)["agreement"]
    replayed = rows(found).values()
    assert agreement["images"] == sum(pair["images"] for pair in agreement["pairs"]) == 30
    assert agreement["agreed"] == sum(row["made_label"] == row["label"] for row in replayed) < 30
    assert {row["model_version"] for row in replayed} == {other}
    assert "have the same label by both" in written(found.page).read_text()


def test_another_version_is_compared_with_its_own_predictions(run):
    other = register("second")
    ingest(Run("backfill", other, [File(f"{number}.jpg", shard="backfilled") for number in range(12)]), shift=0.001)
    found = replay(model_version=other, change=moved(0.001))
    assert (found.status, counts(found)) == ("equal", {"images": 30, "equal": 12, "unrecorded": 18})
    said = report(found)
    assert {(one["run_id"], one["images"]) for one in said["runs"]} == {("the run", 30), ("backfill", 12)}
    assert said["agreement"]["images"] == 30
    assert counts(replay("exact")) == {"images": 30, "equal": 30}


def test_a_shard_is_classified_once_whoever_asks(run):
    """A backfill by another version made shards of the same content: replaying with it needs each only once."""
    other = register("second")
    ingest(run.of("backfill", version=other, kind="backfill"))
    assert len(replays.plan("replay 1", START, model_version=other)) == 3
    ingest(Run("copies", run.version, [File("copy.jpg", content="0.jpg", shard="copies")]))
    assert len(replays.plan("replay 2", START)) == 3


def test_the_report_says_when_a_version_was_replaced(run, database):
    second = register("second")
    with psycopg.connect(database.owner) as connection:
        connection.execute("UPDATE champions SET period = tstzrange(lower(period), now())")
        connection.execute(
            "INSERT INTO champions (version, period, promoted_by, reason)"
            " VALUES (%s, tstzrange(now(), NULL), 'ann', 'better on <b>dark</b> images')",
            [second],
        )
    found = replay()
    (period,) = report(found)["champions"]
    assert (period["version"], period["replaced_by"], period["replaced_by_name"]) == (run.version, second, "second")
    assert period["until"] > period["since"]
    assert "never champion" in written(replay("other", model_version=register("third")).page).read_text()


def test_windows_that_cannot_be_replayed_are_named(run, monkeypatch):
    with pytest.raises(replays.ReplayError, match="no image landed in 2026-11-21T07"):
        replays.plan("replay 1", "2026-11-21T07")
    with pytest.raises(versions.VersionError, match="is registered"):
        replays.plan("replay 1", START, model_version="0" * 64)
    with pytest.raises(WindowError, match="full hours"):
        replays.plan("replay 1", START, "2026-11-21T07")
    monkeypatch.setattr(replays, "MAPPED", 2)
    with pytest.raises(replays.ReplayError, match="has 3 shards, and one run replays 2"):
        replays.plan("replay 1", START)
    assert recorded() == []


def test_attempts_at_something_else_are_refused(run):
    requests = replays.plan("replay 1", START)
    done = answer(requests)
    with pytest.raises(replays.ReplayError, match="3 shards were planned, and 2 classified"):
        replays.compare("replay 1", done[:2])
    with pytest.raises(replays.ReplayError, match="answers something else"):
        replays.compare("replay 1", done[::-1])
    short = answer(requests, lambda row: row | {"probabilities": row["probabilities"][:2]})
    with pytest.raises(replays.ReplayError, match="each of 3 classes"):
        replays.compare("replay 1", short)
    (settings.get().store / done[0].folder / contract.PREDICTIONS_FILE).write_bytes(b"altered")
    with pytest.raises(contract.NoResult):
        replays.compare("replay 1", done)
    assert recorded() == []


def test_a_replay_is_a_fact(run, database: Database):
    replay()
    with psycopg.connect(database.duty("ingest")) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("UPDATE replays SET unequal = 0")
    with psycopg.connect(database.analyst) as connection:
        (shown,) = connection.execute("SELECT status, replayed, missing FROM reporting.replays").fetchall()
    assert shown == ("equal", 30, 0)
    for change in ("equal = 29", "status = 'not compared'", "unequal = 1, status = 'unequal'"):
        with psycopg.connect(database.owner) as connection, pytest.raises(psycopg.errors.CheckViolation):
            connection.execute(f"UPDATE replays SET {change}")


@pytest.mark.parametrize("width", [1200, 360])
def test_the_page_shows_hostile_names_as_text(database, browser, width):
    files = [File(f"<script>alert({n})</script>.jpg" if n else "x" * 200, shard=f"shard {n % 2}") for n in range(12)]
    ingest(Run("<b>run</b>", register(), files))
    lose_shard(Run("", "", []), "shard 1")
    found = replay(change=moved(0.4), versions=OTHER_RUNTIME)
    page = browser.new_page(viewport={"width": width, "height": 900})
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(written(found.page).as_uri())
    assert problems == []
    assert page.locator("h1").inner_text() == "Not equal"
    assert "<script>alert(2)</script>.jpg" in page.locator("body").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.close()


def test_a_large_matrix_is_cut():
    pairs = [{"made_by": "v", "made": f"{n:03}", "replayed": f"{n // 2:03}", "images": 1} for n in range(100)]
    html = replay_page._agreement({"images": 100, "agreed": 1, "pairs": pairs})
    assert html.count("<tr>") == replay_page.SHOWN_LABELS + 1
    assert "most frequent of 100 labels" in html
