"""Loading runs into a real ledger: what is recorded, what is refused, and what stays as it is."""

import itertools
import math
import threading
from dataclasses import replace

import ledger_rows as seeding
import psycopg
import pytest
from ledger_rows import HOUR, SECONDS, File, Run, digest, refused, rejected, vanished
from psycopg.types.json import Jsonb

import strandline_contract as contract
from strandline import ledger, settings
from strandline.ingest import listing
from strandline.ingest import load as predictions

pytestmark = pytest.mark.usefixtures("database")

FACTS = ("entries", "images", "outcomes", "batches", "predictions", "prediction_failures")
A, B, C = File("a.jpg"), File("b.jpg"), File("c.jpg")
SHARD = digest("shard 1")


def rows(query, *parameters):
    with ledger.connect("ingest") as connection:
        return [tuple(row.values()) for row in connection.execute(query, parameters)]


def states():
    """Of each entry, by the last part of its name."""
    found = rows("SELECT display_name, state, reason FROM entries JOIN outcomes USING (entry_id)")
    return {name.rpartition("/")[2]: (state, reason) for name, state, reason in found}


def failures():
    return rows("SELECT run_id, image_id, reason FROM prediction_failures ORDER BY 1, 2")


def predicted_by():
    """Of each image and model version, the run."""
    found = rows("SELECT image_id, model_version, run_id FROM predictions")
    return {(image, version): run_id for image, version, run_id in found}


def snapshot():
    return {table: sorted(rows(f"SELECT {table}::text FROM {table}")) for table in FACTS}


def load_and_close(run, classified):
    loaded = predictions.load(run.run_id, classified)
    ledger.close_run(run.run_id)
    return loaded


def first_run(*files):
    return Run("run 1", seeding.register(), files)


def test_every_file_ends_once():
    lizard = File("lizard.jpg", state="quarantined", reason="UNKNOWN_LABEL")
    run = first_run(A, File("copy.jpg", content="a.jpg"), lizard, refused("torn.jpg"), vanished("v.jpg"), rejected("x"))
    loaded = load_and_close(run, run.ready())
    assert states() == {
        "a.jpg": ("ingested", None),
        "copy.jpg": ("duplicate", None),
        "lizard.jpg": ("quarantined", "UNKNOWN_LABEL"),
        "torn.jpg": ("quarantined", "TRUNCATED"),
        "v.jpg": ("vanished", "VANISHED"),
        "x": ("rejected", "NOT_IMAGE"),
    }
    assert set(predicted_by()) == {(A.image_id, run.version)}
    assert loaded == {
        "shards": 1,
        "ingested": 1,
        "duplicate": 1,
        "quarantined": 2,
        "vanished": 1,
        "rejected": 1,
        "classified": 1,
        "failed": 0,
        "known": 0,
    }


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_the_first_of_equal_contents_is_ingested_in_whatever_order(order):
    later = File("0.jpg", content="same", drop_at=HOUR.replace(hour=9), shard="shard 2")
    files = [
        File("1.jpg", content="same"),
        File("2.jpg", content="same", shard="shard 2"),
        File("3.jpg", content="same"),
    ]
    run = first_run(*([later, *files][i] for i in order))
    load_and_close(run, run.ready())
    assert [name for name, (state, _) in states().items() if state == "ingested"] == ["1.jpg"]
    assert list(states().values()).count(("duplicate", None)) == 3
    assert len(predicted_by()) == 1


def test_one_content_of_a_thousand_names_is_one_image():
    """B74"""
    run = first_run(*(File(f"{number}.jpg", content="same", shard=f"shard {number % 3}") for number in range(1000)))
    loaded = load_and_close(run, run.ready())
    assert (loaded["ingested"], loaded["duplicate"], loaded["classified"]) == (1, 999, 1)
    assert len(states()) == 1000
    assert len(predicted_by()) == 1


def test_content_known_from_an_earlier_run_is_a_duplicate():
    run = first_run(A)
    load_and_close(run, run.ready())
    again = Run("run 2", run.version, [File("0.jpg", content="a.jpg")])
    loaded = load_and_close(again, again.ready())
    assert states() == {"a.jpg": ("ingested", None), "0.jpg": ("duplicate", None)}
    assert (loaded["known"], loaded["classified"]) == (1, 0)
    assert predicted_by() == {(A.image_id, run.version): "run 1"}


def test_loading_again_changes_nothing():
    run = first_run(A, B, File("far.jpg", content="a.jpg", shard="shard 2"), refused("torn.jpg", shard="shard 3"))
    classified = run.ready(failing=["b.jpg"])
    load_and_close(run, classified)
    before = snapshot()
    assert predictions.load(run.run_id, classified)["known"] == 2
    assert load_and_close(run, run.classify())["known"] == 2  # another attempt, in which b.jpg no longer fails
    assert load_and_close(run, run.classify(failing=["a.jpg"]))["known"] == 2
    assert snapshot() == before


def test_another_model_adds_its_predictions_and_keeps_outcomes():
    run = first_run(A, B, C, refused("torn.jpg"))
    load_and_close(run, run.ready())
    before = snapshot()
    # Meanwhile b.jpg went away, and c.jpg was overwritten without a trace in its version.
    now = [A, vanished("b.jpg"), replace(C, content="another"), File("torn.jpg")]
    later = Run("run 2", seeding.register("second"), now, kind="backfill")
    load_and_close(later, later.ready())
    assert {name: snapshot()[name] for name in ("images", "outcomes")} == {
        name: before[name] for name in ("images", "outcomes")
    }
    assert {key for key, run_id in predicted_by().items() if run_id == "run 2"} == {(A.image_id, later.version)}
    assert failures() == sorted([("run 2", B.image_id, "VANISHED"), ("run 2", C.image_id, "CHANGED")])
    assert rows("SELECT expected, ok, failed, shard_rows, missing, replaced FROM batches WHERE run_id = 'run 2'") == [
        (3, 1, 2, 3, 2, 2)
    ]


def test_a_failed_image_may_be_predicted_by_a_later_run():
    run = first_run(A, B)
    load_and_close(run, run.ready(failing=["a.jpg"]))
    assert failures() == [("run 1", A.image_id, "NOT_FINITE")]
    later = run.of("run 2")
    load_and_close(later, later.ready())
    assert predicted_by() == {(A.image_id, run.version): "run 2", (B.image_id, run.version): "run 1"}
    assert ledger.close_run("run 1") | {"classified": 1, "failed": 1} == ledger.close_run("run 1")


def test_an_image_of_two_shards_fails_only_when_it_fails_in_both():
    run = first_run(A, File("far.jpg", content="a.jpg", shard="shard 2"))
    run.ready()
    failing, fine = (
        seeding.write_attempt(run, shard_id, seeding.predictions([A.image_id], failures))
        for shard_id, failures in zip(run.shards(), ({A.image_id}, ()), strict=True)
    )
    load_and_close(run, [failing, fine])
    assert failures() == []
    assert rows("SELECT shard_id FROM predictions") == [(fine.shard_id,)]
    assert rows("SELECT ok, failed FROM batches") == [(1, 0), (1, 0)]


def test_a_run_of_nothing_closes_with_zeros():
    run = first_run()
    loaded = predictions.load(run.run_id, run.ready())
    assert set(loaded.values()) == {0}
    assert set(ledger.close_run(run.run_id).values()) == {0}


def test_a_shard_without_accepted_entries_needs_no_attempt():
    run = first_run(refused("torn.jpg"), File("lizard.jpg", state="quarantined", reason="UNKNOWN_LABEL"))
    assert run.ready() == []
    load_and_close(run, [])
    assert rows("SELECT expected, shard_rows, device FROM batches") == [(0, None, None)]


def test_a_batch_records_how_it_was_made():
    run = first_run(A)
    image = f"sha256:{'1' * 64}"
    load_and_close(run, [replace(attempt, image=image) for attempt in run.ready()])
    columns = "seconds, versions, device, image_digest, shard_sha256"
    [(*made_by, shard_sha256)] = rows(f"SELECT {columns} FROM batches")
    assert made_by == [SECONDS, {"mxnet": "1.9"}, "cpu", image]
    assert shard_sha256 == contract.sha256_file(settings.get().store / "shards" / f"{SHARD}.parquet")


@pytest.mark.parametrize(("shift", "agrees"), [(0.0009, True), (0.002, False)])
@pytest.mark.parametrize("where", ["a later run", "another shard"])
def test_predictions_of_one_image_must_agree(where, shift, agrees):
    run = first_run(A, File("far.jpg", content="a.jpg", shard="shard 2"))
    first, second = run.ready()
    other = seeding.write_attempt(run, second.shard_id, seeding.predictions([A.image_id], shift=shift))
    if where == "a later run":
        predictions.load(run.run_id, [first, second])
        before = snapshot()
        later = run.of("run 2")
        later.ready()
        load, before = (lambda: load_and_close(later, later.classify(shift=shift))), snapshot()
    else:
        load, before = (lambda: load_and_close(run, [first, other])), snapshot()
    if agrees:
        load()
        assert len(predicted_by()) == 1
    else:
        with pytest.raises(predictions.LoadError, match=f"image_id {A.image_id}, model_version {run.version}"):
            load()
        assert snapshot() == before


def set_row(**values):
    return lambda rows: rows[0].update(values)


UNSOUND_ROWS = {
    "a row is missing": lambda rows: rows.pop(),
    "a row is added": lambda rows: rows.append(seeding.prediction(digest("another"))),
    "a row is another's": lambda rows: rows.append(seeding.prediction(digest("another"))) or rows.pop(0),
    "a row is repeated": lambda rows: rows.append(rows[0]) or rows.pop(1),
    "neither result nor failure": set_row(label=None, confidence=None, probabilities=None),
    "both result and failure": set_row(failure="NOT_FINITE"),
    "not a number": set_row(probabilities=[math.nan, 0.5, 0.5]),
    "an empty probability": set_row(probabilities=[None, 0.5, 0.5]),
    "more than one": set_row(label="cat", confidence=1.5, probabilities=[1.5, -0.25, -0.25]),
    "a sum of 0.9": set_row(label="cat", confidence=0.5, probabilities=[0.5, 0.25, 0.15]),
    "a class too few": set_row(label="cat", confidence=0.5, probabilities=[0.5, 0.5]),
    "not the likeliest label": set_row(label="dog", confidence=0.5, probabilities=[0.5, 0.25, 0.25]),
    "an unknown label": set_row(label="lizard", confidence=0.5, probabilities=[0.5, 0.25, 0.25]),
    "not the confidence": set_row(label="cat", confidence=0.6, probabilities=[0.5, 0.25, 0.25]),
}


@pytest.mark.parametrize("change", UNSOUND_ROWS.values(), ids=UNSOUND_ROWS)
def test_unsound_predictions_are_refused_whole(change):
    run = first_run(A, B)
    run.ready()
    before = snapshot()
    found = seeding.predictions([A.image_id, B.image_id])
    change(found)
    with pytest.raises(predictions.LoadError):
        predictions.load(run.run_id, [seeding.write_attempt(run, SHARD, found)])
    assert snapshot() == before


@pytest.mark.parametrize(
    "changes",
    [
        {"shard_id": digest("shard 2")},
        {"bundle": contract.BundleRef("models/other", digest("other"))},
    ],
    ids=["another shard", "another model"],
)
def test_an_attempt_at_something_else_is_refused(changes):
    run = first_run(A)
    run.ready()
    attempt = seeding.write_attempt(run, SHARD, seeding.predictions([A.image_id]), **changes)
    with pytest.raises(predictions.LoadError, match="the run asks for shard"):
        predictions.load(run.run_id, [attempt])


@pytest.mark.parametrize("file", [contract.RESULT_FILE, contract.REQUEST_FILE, contract.PREDICTIONS_FILE])
def test_an_attempt_with_altered_files_did_not_happen(file):
    run = first_run(A)
    [attempt] = run.ready()
    (settings.get().store / attempt.folder / file).write_bytes(b"{}")
    with pytest.raises(contract.NoResult, match="again"):
        predictions.load(run.run_id, [attempt])


def test_a_prediction_file_that_is_huge_when_read_is_refused_and_the_load_goes_on_with_a_whole_one():
    run = first_run(*(File(f"{number}.jpg") for number in range(5000)))
    [attempt] = run.ready()
    whole = seeding.predictions(seeding.image_ids(run.files))
    huge = seeding.spoil(attempt, contract.PREDICTIONS_FILE, whole, failure="x" * 1_000_000)
    with pytest.raises(contract.NoResult, match="more than 1,024 bytes in failure"):
        predictions.load(run.run_id, [huge])
    assert rows("SELECT * FROM predictions") == []
    load_and_close(run, run.classify())


def test_all_shards_of_the_run_and_no_others_must_be_classified():
    run = first_run(A, File("b.jpg", shard="shard 2"))
    first, second = run.ready()
    with pytest.raises(predictions.LoadError, match=f"{second.shard_id}, fault was not classified"):
        predictions.load(run.run_id, [first])
    other = Run("run 2", run.version, [B])
    other.ready()
    with pytest.raises(predictions.LoadError, match=f"{second.shard_id}, fault is not a shard of this run"):
        predictions.load("run 2", [*other.classify(), second])
    with pytest.raises(predictions.LoadError, match="more than once"):
        predictions.load(run.run_id, [first, second, first])


@pytest.mark.parametrize(
    ("found", "says"),
    [([A], "no outcome for 1 entries of"), ([A, B, C], "never listed"), ([A, A, B], "never listed")],
    ids=["missing", "unlisted", "shifted"],
)
def test_each_listed_entry_has_one_outcome(found, says):
    run = first_run(A, B)
    classified = run.ready()
    replace(run, files=found).write_outcomes()
    with pytest.raises(predictions.LoadError, match=says):
        predictions.load(run.run_id, classified)


def test_one_content_has_one_description():
    run = first_run(A, File("copy.jpg", content="a.jpg", width=33))
    with pytest.raises(predictions.LoadError, match=f"{A.image_id}, recorded 32 32 JPEG RGB 100, found 33 32"):
        predictions.load(run.run_id, run.ready())
    assert rows("SELECT * FROM images") == []


def test_a_run_that_was_never_listed_is_refused():
    with pytest.raises(predictions.LoadError, match="nothing was listed"):
        predictions.load("no run", [])


def test_two_runs_on_one_drop_at_once_both_close():
    files = [File(f"{i}.jpg", content=f"{i // 2}", shard=f"shard {i % 3}") for i in range(60)]
    version = seeding.register()
    runs = [Run(f"run {i}", version, files) for i in range(3)]
    ready = [(run, run.ready(failing=[str(i)])) for i, run in enumerate(runs)]
    start = threading.Barrier(len(runs))
    errors = []

    def work(run, classified):
        try:
            start.wait()
            load_and_close(run, classified)
        except Exception as error:  # noqa: BLE001 - reported by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=work, args=each) for each in ready]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert rows("SELECT count(*) FROM outcomes") == [(60,)]
    assert rows("SELECT count(*) FROM predictions") == [(30,)]
    with ledger.connect("ingest") as connection:
        assert not any(ledger.check_invariants(connection).values())


def test_a_load_that_loses_the_server_late_leaves_nothing(monkeypatch):
    run = first_run(A, B)
    classified = run.ready()
    before = snapshot()
    execute = ledger.execute

    def fail_at_last(connection, query, parameters=None):
        if query == "insert_prediction_failures":
            connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return execute(connection, query, parameters)

    monkeypatch.setattr(ledger, "execute", fail_at_last)
    with pytest.raises(psycopg.OperationalError, match="terminating connection"):
        predictions.load(run.run_id, classified)
    monkeypatch.undo()
    assert snapshot() == before
    load_and_close(run, classified)


@pytest.mark.parametrize(
    ("startup", "rate", "classify", "size"),
    [
        (2.0, 1000, 10, 18_000),
        (0.1, 10, 10, listing.MIN_SHARD),
        (30.0, 5000, 10, listing.MAX_SHARD),
        (2.0, 200, 0.5, listing.DEFAULT_SHARD),  # a hundred images say nothing
    ],
)
def test_shards_are_sized_so_that_start_up_takes_a_tenth(database, startup, rate, classify, size):
    run = first_run(A)
    with ledger.connect("ingest") as connection:
        assert listing._measured_size(connection, run.version) == listing.DEFAULT_SHARD
    load_and_close(run, run.ready())
    seconds = {"spawn": startup, "import": 0, "verify": 0, "first_batch": 0, "classify": classify}
    with psycopg.connect(database.owner) as connection:
        connection.execute("UPDATE batches SET seconds = %s, shard_rows = %s", [Jsonb(seconds), round(classify * rate)])
    with ledger.connect("ingest") as connection:
        assert listing._measured_size(connection, run.version) == size
