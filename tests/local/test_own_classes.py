"""A model of other classes and another size than the champion's: imported, measured on a folder of pictures, through a
first gate, and compared with its successor on pictures that are packed again. Commands are real.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gates import answer
from own_models import COLOURS, EACH, write_model, write_pictures
from written_reports import written

from local.build import import_model, measured
from strandline import ledger, settings
from strandline.attempts import SealedAttempt
from strandline.models import datasets, packing, registry
from strandline.operators.process import ProcessOperator
from strandline.promotion import evaluation, monitoring, promotion


@pytest.fixture(autouse=True)
def champion(database, monkeypatch) -> str:
    """CIFAR-10's, of ten classes and 32 x 32 pixels."""
    monkeypatch.setenv("STRANDLINE_CORES", "1")
    settings.get.cache_clear()
    version = registry.register(settings.REPOSITORY / "models" / "cifar_resnet20_v1", "tester")
    registry.install_first(version, "tester")
    return version


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "pictures")


def make(folder: Path, side: int, name: str, pictures: str = "") -> int:
    """The exit code of importing a network of this size."""
    return import_model.import_model(settings.get(), *write_model(folder, side, name), name, pictures)


def registered(name: str) -> dict[str, Any]:
    with ledger.connect("training") as connection:
        query = "SELECT * FROM model_versions WHERE name = %s ORDER BY registered_at DESC LIMIT 1"
        row = connection.execute(query, (name,)).fetchone()
    assert row is not None
    return row


def execute(run_id: str, command: str, request: dict[str, Any]) -> SealedAttempt:
    operator = ProcessOperator(task_id=command, vision_command=command, request=request)
    return SealedAttempt.from_dict(operator.execute({"run_id": run_id, "ti": SimpleNamespace(try_number=1)}))


def hold(run_id: str, version: str) -> tuple[evaluation.EvaluatedGate, dict[str, str], list[str], list[str]]:
    """The gate, its checks, what was packed again for it, and what was answered."""
    pinned = evaluation.plan(run_id, "user", version)
    validated = execute(run_id, "infra_validate", evaluation.infra_validate_request(pinned).to_dict())
    to_pack = evaluation.packings(pinned, validated)
    packed = [execute(run_id, "pack", request.to_dict()) for request in to_pack]
    asked = evaluation.evaluations(pinned, validated, packed)
    evaluated = [execute(run_id, "evaluate", request.to_dict()) for request in asked]
    held = evaluation.evaluate_gate(pinned, validated, evaluated, packed)
    with ledger.connect("gate") as connection:
        query = "SELECT check_name, outcome FROM gate_results WHERE gate_id = %s"
        checks = {row["check_name"]: row["outcome"] for row in connection.execute(query, (run_id,))}
    return held, checks, [request.shard_id for request in to_pack], [request.shard_id for request in asked]


def test_a_model_of_other_classes_and_size_becomes_champion(tmp_path, pictures, champion, capfd):
    assert make(tmp_path, 48, "colours", str(pictures)) == 0
    assert f"has {len(COLOURS) * EACH} pictures" in capfd.readouterr().out
    row = registered("colours")
    assert (row["classes"], row["metrics"]["accuracy"]) == (list(COLOURS), 1.0)

    held, checks, packed, asked = hold("gate 1", row["version"])
    assert (packed, asked) == ([], ["holdout-challenger"])
    assert set(checks) == {"loads", "golden images", "accuracy floor", "class floors", "calibration bound"}
    assert held.outcome == "pass", held.body
    assert "This is a first gate: the champion has none of its classes" in held.sentence
    assert "What the champion has and the challenger has not: airplane; automobile; " in held.body
    page = written(held.page).read_text()
    assert "A first gate: a challenger alone" in page
    assert "airplane" not in page.split("Checks</h2>")[1]
    promotion.record_approval("gate 1", answer())
    assert promotion.promote("gate 1").version == row["version"]
    assert monitoring.plan("monitor 1") is None, "nothing compares it with what came before"

    # A successor of another size: the holdout is packed again from the files that the store has kept.
    (pictures / "red" / "0.jpg").rename(tmp_path / "no picture here any more")
    assert make(tmp_path, 20, "smaller") == 0
    smaller = registered("smaller")
    assert smaller["metrics"]["images"] == len(COLOURS) * EACH
    held, checks, packed, asked = hold("gate 2", smaller["version"])
    assert packed == ["holdout-challenger-0"]
    assert asked == ["holdout-champion", "holdout-challenger"]
    assert checks["accuracy floor"] == checks["golden images"] == checks["latency"] == "pass"
    assert f"Accuracy on {len(COLOURS) * EACH} holdout images, against the champion: +0.0 points" in held.body
    assert checks["recent"] == "not enough evidence"
    assert "first gate" not in held.sentence
    # The file of one image is gone: it counts for neither, and that is said.
    lost = next((settings.get().store / packing.ORIGINALS).iterdir())
    lost.unlink()
    held, _, _, _ = hold("gate 3", smaller["version"])
    assert f"Of 1 of {len(COLOURS) * EACH} holdout images no file is left" in held.sentence
    assert f"Accuracy on {len(COLOURS) * EACH - 1} holdout images" in held.body


def test_a_version_is_measured_later(tmp_path, pictures, capfd):
    assert make(tmp_path, 48, "colours") == 0
    said = capfd.readouterr().out
    assert "It is not measured" in said
    first = registered("colours")
    assert measured.measure_version(settings.get(), first["version"][:8], str(pictures)) == 0
    row = registered("colours")
    assert (first["metrics"], row["metrics"]["accuracy"]) == (None, 1.0)
    with ledger.connect("training") as connection:
        assert datasets.latest(connection, "holdout", row["classes"])
        assert datasets.latest(connection, "holdout", ["cat", "dog"]) is None


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: (folder / "mauve").mkdir(), "is no folder of a class: the model knows black, blue"),
        (lambda folder: (folder / "a.jpg").write_bytes(b""), "is no folder of a class"),
        (lambda folder: (folder / "red" / "more").mkdir(), "a folder of a class has pictures, and nothing else"),
        (
            lambda folder: (folder / "red" / "0.jpg").write_bytes((folder / "blue" / "0.jpg").read_bytes()),
            "are the same picture, of two classes",
        ),
    ],
)
def test_a_folder_that_is_no_holdout_is_refused(tmp_path, pictures, capfd, spoil, says):
    assert make(tmp_path, 48, "colours") == 0
    spoil(pictures)
    assert measured.measure_version(settings.get(), registered("colours")["version"], str(pictures)) == 1
    assert says in capfd.readouterr().err
    with ledger.connect("training") as connection:
        assert datasets.latest(connection, "holdout") is None


def test_a_picture_that_cannot_be_packed_is_left_out_and_named(tmp_path, pictures, capfd):
    (pictures / "red" / "broken.jpg").write_bytes(b"no picture")
    assert make(tmp_path, 48, "colours", str(pictures)) == 0
    assert "red/broken.jpg cannot be packed, and is left out" in capfd.readouterr().out
    assert registered("colours")["metrics"]["images"] == len(COLOURS) * EACH
