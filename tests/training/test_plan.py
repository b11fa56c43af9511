"""What a challenger learns from, frozen in a real ledger; then a real training, killed and gone on with."""

import dataclasses
import datetime
import hashlib
import json
import shutil
import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import drift_windows as drifting
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowException
from drift_windows import CLASSES, FIRST, HOUR, SIDE
from ledger_rows import digest
from psycopg.types.json import Jsonb

import strandline_contract as contract
from strandline import ledger, settings
from strandline.attempts import SealedAttempt
from strandline.errors import PermanentError
from strandline.models import datasets, registry, versions
from strandline.operators.process import ProcessOperator
from strandline.parity import tasks as parity_tasks
from strandline.training import plan as training
from strandline.training import tasks
from strandline.training.plan import RetrainingRequest, TrainingError, balance

pytestmark = pytest.mark.usefixtures("database", "small")
ASKED = RetrainingRequest("manual__1", "mia", "it is dark")
HOLDOUT, ORIGINAL = 40, 400


@pytest.fixture
def small(database, monkeypatch) -> None:
    """Settings for small sets."""
    monkeypatch.setenv("STRANDLINE_RETRAIN_MIN_LABELS", "100")
    monkeypatch.setenv("STRANDLINE_RETRAIN_RECENT_IMAGES", "80")
    monkeypatch.setenv("STRANDLINE_RETRAIN_IMAGES", "400")
    monkeypatch.setenv("STRANDLINE_RETRAIN_REHEARSAL_SHARE", "0.5")
    monkeypatch.setenv("STRANDLINE_CORES", "1")
    settings.get.cache_clear()


@pytest.fixture
def champion(small, tmp_path) -> str:
    return drifting.register(tmp_path)


@pytest.fixture
def sets(champion) -> dict[str, datasets.Dataset]:
    """A holdout and an original set, of images that never landed."""
    with ledger.connect("training") as connection:
        return {
            kind: freeze(connection, kind, [f"{kind} {number}" for number in range(count)])
            for kind, count in (("holdout", HOLDOUT), ("original", ORIGINAL))
        }


def freeze(connection: ledger.Connection, kind: Any, names: list[str]) -> datasets.Dataset:
    shard = write_shard(settings.get().store / f"{kind}.parquet", [digest(name) for name in names])
    rows = [(digest(name), CLASSES[number % len(CLASSES)]) for number, name in enumerate(names)]
    return datasets.freeze(connection, settings.get(), kind, rows, [shard], {"images": "made"}, "tester")


def write_shard(path: Path, image_ids: list[str]) -> contract.FileRef:
    """With all columns of the contract, and noise for images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = [hashlib.shake_128(image.encode()).digest(SIDE * SIDE * 3) for image in image_ids]
    columns: dict[str, list[Any]] = {"image_id": image_ids, "pixels": noise, "format": ["PNG"] * len(image_ids)}
    columns |= {name: [SIDE] * len(image_ids) for name in ("width", "height", "bytes")}
    columns |= {name: [0.5] * len(image_ids) for name in contract.IMAGE_STATISTICS}
    types = {"float": pa.float32()}
    schema = pa.schema([(name, types.get(kind) or pa.type_for_alias(kind)) for name, kind in contract.SHARD_COLUMNS])
    pq.write_table(pa.table({name: columns[name] for name in schema.names}, schema=schema), path)
    return contract.FileRef(str(path.relative_to(settings.get().store)), contract.sha256_file(path))


def land(version: str, counts: list[int], first: datetime.datetime = FIRST) -> None:
    """Hours of labelled images, one after the other."""
    for number, count in enumerate(counts):
        drifting.ingest(version, first + number * HOUR, drifting.rows(count, seed=number), truth="same")


def landed(hour: int) -> set[str]:
    with ledger.connect("training") as connection:
        query = "SELECT image_id FROM images JOIN entries USING (entry_id) WHERE drop_at = %s"
        return {row["image_id"] for row in connection.execute(query, [FIRST + hour * HOUR])}


def frozen(planned: training.Planned, name: str) -> dict[str, str]:
    """The labels of a set of a plan, by image."""
    with ledger.connect("training") as connection:
        return datasets.labels(settings.get().store, datasets.read(connection, getattr(planned.plan, name)))


def test_the_newest_hours_are_kept_for_the_gate_and_the_others_learnt_from(champion, sets):
    land(champion, [100, 100, 60, 60])
    planned = training.plan(ASKED)
    learnt, recent = frozen(planned, "training_set"), frozen(planned, "recent_set")
    assert recent.keys() == landed(2) | landed(3)  # one hour alone has less than 80
    new = learnt.keys() & (landed(0) | landed(1))
    rehearsed = learnt.keys() - new
    assert learnt.keys().isdisjoint(recent)
    assert rehearsed < {digest(f"original {number}") for number in range(ORIGINAL)}
    sizes = Counter(learnt.values())
    assert len(sizes) == len(CLASSES)
    assert len(set(sizes.values())) == 1
    assert all(count >= sizes[name] / 2 for name, count in Counter(learnt[image] for image in rehearsed).items())
    assert len(learnt) <= 400


def test_a_request_to_train_starts_from_the_champion_and_names_all_shards(champion, sets):
    land(champion, [100, 100])
    planned = training.plan(dataclasses.replace(ASKED, epochs=3, minutes=0.5, seed=7))
    request = contract.parse_request("train", planned.train.to_dict())
    assert request.start == contract.BundleRef(f"models/{champion}", champion)
    assert (request.epochs, request.seconds, request.seed, request.shard_id) == (
        3,
        30,
        7,
        planned.plan.training_set,
    )
    found: set[str] = set()
    for ref in request.shards:
        found |= set(
            pq.read_table(
                contract.verified(settings.get().store, ref)
                if "original" in ref.path
                else settings.get().store / ref.path,
                columns=["image_id"],
            )["image_id"].to_pylist()
        )
    assert frozen(planned, "training_set").keys() <= found
    assert planned.plan.to_dict() == {
        "parent": champion,
        "training_set": request.labels.sha256,
        "holdout": sets["holdout"].dataset_id,
        "recent_set": planned.plan.recent_set,
        "asked_by": "mia",
        "reason": "it is dark",
        "report_id": None,
        "run_id": "manual__1",
    }


def test_images_that_were_packed_for_other_pixels_are_left_out(champion, sets, tmp_path):
    """As those of before a promotion to another size: a training reads shards of one."""
    larger = contract.Preprocessing(64, 64, mean=(0.5,) * 3, std=(0.2,) * 3).to_dict()
    files = {contract.PREPROCESSING_FILE: json.dumps(larger).encode()}
    other = drifting.register(tmp_path / "other", **files)
    land(champion, [150, 100])
    drifting.ingest(other, FIRST + 5 * HOUR, drifting.rows(90, seed=9), truth="same")
    assert len(landed(5)) == 90
    planned = training.plan(ASKED)
    assert not landed(5) & (frozen(planned, "recent_set").keys() | frozen(planned, "training_set").keys())


def test_planning_again_freezes_nothing_new(champion, sets):
    land(champion, [100, 100])
    assert training.plan(ASKED) == training.plan(ASKED)


def test_another_seed_replays_others(champion, sets):
    land(champion, [100, 100])
    one, other = (frozen(training.plan(dataclasses.replace(ASKED, seed=seed)), "training_set") for seed in (0, 1))
    assert one.keys() & landed(0) == other.keys() & landed(0)
    assert one.keys() != other.keys()


def test_what_is_tested_on_is_never_learnt_from(champion, sets):
    """Neither images of the holdout that landed nevertheless, nor those of an earlier recent set."""
    land(champion, [100, 100, 100])
    shown, tested = sorted(landed(0))[:20], sorted(landed(1))[:20]
    held_out = [*sorted(landed(0))[20:30], *sorted(landed(2))[:10]]
    with ledger.connect("training") as connection:
        for kind, images in (("recent", shown + tested), ("holdout", held_out)):
            rows = [(image, CLASSES[0]) for image in images]
            datasets.freeze(connection, settings.get(), kind, rows, [], {"images": "some"}, "tester")
    planned = training.plan(ASKED)
    learnt, recent = frozen(planned, "training_set"), frozen(planned, "recent_set")
    assert learnt.keys().isdisjoint([*shown, *tested, *held_out])
    assert recent.keys() == landed(2) - set(held_out)
    with ledger.connect("training") as connection:
        assert ledger.check_invariants(connection)["19_nothing_learnt_is_tested"] == []


def test_images_that_models_have_learnt_from_are_in_no_recent_set(champion, sets):
    land(champion, [100, 100])
    first = training.plan(ASKED)
    drifting.ingest(champion, FIRST + 2 * HOUR, drifting.rows(100, seed=9), truth="same")
    later = training.plan(ASKED)
    assert frozen(later, "recent_set").keys() == landed(2)
    # What was in a recent set once stays apart.
    assert frozen(later, "training_set").keys().isdisjoint(frozen(first, "recent_set"))


@pytest.mark.parametrize(
    ("drops", "wanted", "kept"),
    [
        ([(60, 60), (60, 60), (60, 60)], 50, 1),
        ([(60, 60), (60, 60), (60, 60)], 100, 2),
        ([(60, 60), (55, 55)], 57, 1),
        ([(55, 55), (60, 60)], 57, 1),  # the older hour is not kept, too, for the sake of two images
        ([(0, 60), (60, 60), (60, 60)], 50, 2),
        ([(60, 60), (40, 40)], 50, 0),
        ([(60, 60)], 50, 0),
    ],
)
def test_hours_are_kept_until_there_are_enough_and_while_some_are_left(drops, wanted, kept):
    rows = [{"testable": testable, "learnable": learnable} for testable, learnable in drops]
    assert training._drops_to_keep(rows, wanted, 50) == kept


def report(version: str, hour: int, asks: bool, held_back: str | None = None) -> int:
    row = {"run_id": f"report {hour}", "window_start": FIRST + hour * HOUR, "window_end": FIRST + (hour + 1) * HOUR}
    row |= {"model_version": version, "live": True, "replaces": None, "images": 9, "compared": 9, "labelled": 9}
    row |= {"action": "retrain" if asks else "none", "asks": asks, "sentence": f"hour {hour}", "held_back": held_back}
    row |= {"report": Jsonb({}), "folder": "drift", "html_sha256": "0" * 64}
    with ledger.connect("ingest") as connection:
        (found,) = ledger.fetch(connection, "insert_drift_report", row)
    return int(found["report_id"])


def test_a_verdict_is_about_the_windows_that_asked(champion, sets):
    land(champion, [200, 60, 60])
    reports = [report(champion, hour, asks=hour > 0) for hour in range(3)]
    planned = training.plan(dataclasses.replace(ASKED, by=training.PROGRAM, report_id=reports[2]))
    # Half of the 120 images of the two hours that asked, not 80 of all.
    assert frozen(planned, "recent_set").keys() == landed(2)
    assert landed(1) <= frozen(planned, "training_set").keys()
    assert planned.plan.report_id == reports[2]
    with pytest.raises(TrainingError, match="no drift report"):
        training.plan(dataclasses.replace(ASKED, report_id=reports[0]))


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ([], "0 labelled images, and 100 are needed: label 100 more"),
        ([60], "60 labelled images, and 100 are needed: label 40 more"),
        ([150], "from 2026-11-20T00 on are kept for the gate; 0 are left to learn from, and 50 are needed"),
        ([30, 150], "label 20 more of the hours before"),
    ],
)
def test_too_few_labels_are_counted(champion, sets, counts, says):
    land(champion, counts)
    with pytest.raises(TrainingError, match=says):
        training.plan(ASKED)


def test_what_is_missing_is_named(small, tmp_path):
    with pytest.raises(versions.NoChampion, match="no champion"):
        training.plan(ASKED)
    version = drifting.register(tmp_path)
    with pytest.raises(TrainingError, match="no holdout set"):
        training.plan(ASKED)
    with ledger.connect("training") as connection:
        freeze(connection, "holdout", ["a"])
    land(version, [100, 100])
    with pytest.raises(TrainingError, match="no original set"):
        training.plan(ASKED)


def test_an_imported_champion_is_not_trained_on(small, tmp_path):
    version = drifting.register(tmp_path, **{contract.WEIGHTS_FILE: None})
    land(version, [100, 100])
    with ledger.connect("training") as connection:
        freeze(connection, "holdout", ["a"])
        freeze(connection, "original", ["b"])
    with pytest.raises(TrainingError, match=r"was imported and has no weights\.params") as raised:
        training.plan(ASKED)
    assert isinstance(raised.value, PermanentError), "Airflow would try it again"
    with ledger.connect("training") as connection:
        assert datasets.latest(connection, "window") is None
        assert datasets.latest(connection, "training") is None
        assert connection.execute("SELECT count(*) AS n FROM trainings").fetchone() == {"n": 0}


def test_who_asks_is_the_person_who_triggered_as_airflow_has_recorded():
    params = {"reason": "because", "epochs": 2, "minutes": None, "seed": 1}
    run = SimpleNamespace(triggering_user_name="mia", run_type="manual")
    context = {"run_id": "r", "params": params, "dag_run": run}
    assert RetrainingRequest.from_context(context) == RetrainingRequest("r", "mia", "because", epochs=2, seed=1)
    with pytest.raises(TrainingError, match="with a reason"):
        RetrainingRequest.from_context(context | {"params": params | {"reason": None}})


def test_an_event_only_wakes_and_the_request_is_the_ledgers(champion):
    """Whoever posts an event, and whatever it says: only an open drift report is a request."""
    params = {"reason": None, "epochs": None, "minutes": None, "seed": 0}
    woken = SimpleNamespace(triggering_user_name=None, run_type="asset_triggered")
    event = SimpleNamespace(extra={"sentence": "trust me", "report_id": 1})
    context = {"run_id": "r", "params": params, "dag_run": woken, "triggering_asset_events": {"retraining": [event]}}
    assert RetrainingRequest.from_context(context) is None
    report(champion, 0, asks=False)
    report(champion, 1, asks=True, held_back="it waits for labels")
    assert RetrainingRequest.from_context(context) is None
    asking = report(champion, 2, asks=True)
    found = RetrainingRequest.from_context(context)
    assert (found.by, found.reason, found.report_id) == ("report_drift", "hour 2", asking)


def rows(**counts: int) -> list[tuple[str, str]]:
    return [(f"{label} {number}", label) for label, count in counts.items() for number in range(count)]


def original(count: int) -> list[tuple[str, str]]:
    return [(f"original {label} {number}", label) for label in "abc" for number in range(count)]


@pytest.mark.parametrize(
    ("new", "most", "share", "taken", "size"),
    [
        (rows(a=10, b=10, c=10), 600, 0.5, {"a": 10, "b": 10, "c": 10}, 20),
        (rows(a=90, b=10, c=10), 600, 0.5, {"a": 20, "b": 10, "c": 10}, 40),  # twice the median
        (rows(a=10, b=10), 600, 0.5, {"a": 10, "b": 10}, 20),  # a class without any is all replay
        (rows(a=90, b=90, c=90), 60, 0.5, {"a": 10, "b": 10, "c": 10}, 20),  # no more than fit
        (rows(a=10, b=8, c=9), 600, 0.75, {"a": 10, "b": 8, "c": 9}, 40),
    ],
)
def test_classes_are_of_one_size_and_the_replay_has_its_share(new, most, share, taken, size):
    chosen, rehearsed = balance(new, original(100), "abc", most, share, 2.0)
    assert Counter(label for _, label in chosen) == taken
    assert Counter(label for _, label in chosen + rehearsed) == dict.fromkeys("abc", size)
    assert chosen == [row for row in new if row in chosen]
    assert all(int(image.split()[1]) < taken[label] for image, label in chosen)  # those that come first


def test_without_a_share_nothing_is_rehearsed():
    assert balance(rows(a=3, b=2, c=1), original(9), "abc", 99, 0.0, 2.0) == (rows(a=3, b=2, c=1), [])


def test_an_original_image_that_landed_again_is_learnt_once():
    chosen, rehearsed = balance([("original a 0", "a")], original(1), "abc", 99, 0.5, 2.0)
    assert "original a 0" not in dict(rehearsed)
    assert chosen == [("original a 0", "a")]


def execute(command: str, request: dict[str, Any], try_number: int = 1, **killed: Any) -> dict[str, Any]:
    operator = killed.get("operator") or ProcessOperator(task_id=command, vision_command=command, request=request)
    return operator.execute({"run_id": ASKED.run_id, "ti": SimpleNamespace(try_number=try_number)})


def kill_after_an_epoch(operator: ProcessOperator, folder: Path) -> None:
    deadline = time.monotonic() + 300
    while not list(folder.rglob(contract.CHECKPOINT_FILE)):
        assert time.monotonic() < deadline, "no checkpoint"
        time.sleep(0.01)
    operator.on_kill()


@pytest.fixture
def real(champion, sets) -> dict[str, Any]:
    """A plan over shards as packing leaves them."""
    land(champion, [60, 60])
    return training.plan(dataclasses.replace(ASKED, epochs=3)).to_dict()


def finish(planned: dict[str, Any], trained: dict[str, Any]) -> list[dict[str, Any]]:
    """Measure and pack what was trained, on a worker that enters no ledger; all three attempts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRANDLINE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
        settings.get.cache_clear()
        evaluated = execute("evaluate", tasks.evaluation(planned["plan"], planned["holdout"], trained))
        packaged = execute("package", tasks.packaging(planned["plan"], trained, evaluated))
    settings.get.cache_clear()
    return [trained, evaluated, packaged]


def packaged_bundle(planned: dict[str, Any], *attempts: dict[str, Any]) -> Path:
    return training.packaged_bundle(training.TrainingPlan.from_dict(planned), *map(SealedAttempt.from_dict, attempts))


def test_a_bundle_of_another_plan_than_the_ledgers_is_no_challenger(real):
    """Whoever may change what tasks tell each other changes no lineage, and not what a challenger is measured on."""
    trained = execute("train", real["train"] | {"epochs": 1})
    (shard,) = real["holdout"]["shards"]
    other = shard | {"path": "other.parquet"}
    shutil.copy(settings.get().store / shard["path"], settings.get().store / other["path"])
    _, evaluated, packaged = done = finish(real, trained)
    _, measured, _ = elsewhere = finish(real | {"holdout": real["holdout"] | {"shards": [other]}}, trained)
    forged = execute("package", tasks.packaging(real["plan"] | {"reason": "forged"}, trained, evaluated))
    assert packaged_bundle(real["plan"], *done).is_dir()
    for altered in (elsewhere, (trained, evaluated, forged), (trained, measured, packaged)):
        with pytest.raises(contract.NoResult, match="packs something else than was planned"):
            packaged_bundle(real["plan"], *altered)
    with pytest.raises(contract.NoResult, match="trained on another set"):
        tasks.packaging(real["plan"] | {"training_set": "0" * 64}, trained, evaluated)
    with pytest.raises(contract.NoResult, match="measured another model, or on another set"):
        tasks.packaging(real["plan"] | {"holdout": "0" * 64}, trained, evaluated)


def test_a_killed_training_goes_on_and_ends_as_a_registered_challenger(real, champion, sets, monkeypatch):
    store, folder = settings.get().store, settings.get().run_folder(ASKED.run_id)
    whole = execute("train", real["train"] | {"shard_id": "undisturbed"})
    operator = ProcessOperator(task_id="train", vision_command="train", request=real["train"])
    killer = threading.Thread(target=kill_after_an_epoch, args=(operator, folder / "train" / real["train"]["shard_id"]))
    killer.start()
    with pytest.raises(AirflowException, match="SIGKILL"):
        execute("train", real["train"], operator=operator)
    killer.join()
    trained = execute("train", real["train"], try_number=2)
    resumed = contract.read_request("train", store / trained["folder"] / contract.REQUEST_FILE)
    assert isinstance(resumed, contract.TrainRequest)
    assert resumed.resume
    assert [contract.read_result(store / one["folder"], "train").versions["bundle"] for one in (whole, trained)] == [
        contract.sha256_file(store / trained["folder"] / "bundle" / contract.BUNDLE_MANIFEST)
    ] * 2

    assert tasks.parity(real["holdout"], trained) is None  # in f32 the bundle's golden images are proof enough
    done = finish(real, trained)
    with monkeypatch.context() as patch:
        patch.setenv("STRANDLINE_PRECISION", "bf16")
        settings.get.cache_clear()
        request = tasks.parity(real["holdout"], done[-1])
        again = tasks.evaluation(real["plan"], real["holdout"], trained)
        patch.undo()
    settings.get.cache_clear()
    assert [one["precision"] for one in (request["reference"], *request["runtimes"])] == ["f32", "bf16"]
    assert again["runtime"]["precision"] == "f32"
    measured = execute("parity", request)
    version = registry.register(packaged_bundle(real["plan"], *done), "mia", real["plan"])
    assert registry.register(packaged_bundle(real["plan"], *done), "mia", real["plan"]) == version
    recorded = parity_tasks.record(ASKED.run_id, measured)
    assert recorded["version"] == version
    assert recorded["outcomes"].get("openvino bf16 cpu") != "pass"  # so few images prove nothing
    with ledger.connect("training") as connection:
        (row,) = connection.execute("SELECT * FROM model_lineage WHERE version = %s", [version])
        (model,) = ledger.fetch(connection, "select_model_version", {"version": version})
        now = ledger.fetch(connection, "select_champion")[0]["version"]
    assert {name: row[name] for name in real["plan"]} == real["plan"]
    assert row["code_revision"]
    assert row["versions"].keys() >= {"mxnet", "gluoncv"}
    assert (row["parameters"]["start"], row["parameters"]["seed"], row["image_digest"]) == (champion, 0, None)
    assert model["metrics"]["images"] == HOLDOUT
    assert now == champion  # a challenger is only registered
    bundle = store / model["bundle"]
    assert {"lineage.json", "curves.json", "curves.svg", "reference.parquet"} <= {one.name for one in bundle.iterdir()}


def test_a_challenger_learns_from_images_changed_as_its_parents_were(database, small, tmp_path):
    training_file = json.loads((drifting.BUNDLE / contract.TRAINING_FILE).read_bytes())
    changed = training_file | {"corruption": contract.Corruption(jpeg=0.25).to_dict()}
    version = drifting.register(tmp_path, **{contract.TRAINING_FILE: json.dumps(changed).encode()})
    with ledger.connect("training") as connection:
        for kind, count in (("holdout", HOLDOUT), ("original", ORIGINAL)):
            freeze(connection, kind, [f"{kind} {number}" for number in range(count)])
    land(version, [100, 100])
    assert training.plan(ASKED).train.corruption == contract.Corruption(jpeg=0.25)
