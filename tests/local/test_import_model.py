"""`make import-model`: an ONNX file becomes a registered version, measured on the holdout, and asks for its gate."""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drift_windows import CLASSES, SIDE
from ledger_rows import digest

import strandline_contract as contract
from local.build import import_model
from strandline import ledger, settings
from strandline.attempts import SealedAttempt
from strandline.models import bundles, datasets, registry
from strandline.operators.process import ProcessOperator
from strandline.promotion import evaluation

pytestmark = pytest.mark.usefixtures("database")
EXPORTS = settings.REPOSITORY / "docker" / "vision" / "tests" / "exports"
RUN = "manual__1"


@pytest.fixture(autouse=True)
def one_core(monkeypatch) -> None:
    monkeypatch.setenv("STRANDLINE_CORES", "1")
    settings.get.cache_clear()


@pytest.fixture
def holdout() -> datasets.Dataset:
    """Images of noise, with a shard as `vision pack` makes them."""
    ids = [digest(f"noise {number}") for number in range(60)]
    columns: dict[str, list[Any]] = {"image_id": ids, "format": ["PNG"] * len(ids)}
    columns["pixels"] = [hashlib.shake_128(image.encode()).digest(SIDE * SIDE * 3) for image in ids]
    columns |= {name: [SIDE] * len(ids) for name in ("width", "height", "bytes")}
    columns |= {name: [0.5] * len(ids) for name in contract.IMAGE_STATISTICS}
    types = {"float": pa.float32()}
    schema = pa.schema([(name, types.get(kind) or pa.type_for_alias(kind)) for name, kind in contract.SHARD_COLUMNS])
    store = settings.get().store
    store.mkdir(parents=True)
    pq.write_table(pa.table({name: columns[name] for name in schema.names}, schema=schema), store / "shard.parquet")
    shard = contract.FileRef("shard.parquet", contract.sha256_file(store / "shard.parquet"))
    rows = [(image, CLASSES[number % len(CLASSES)]) for number, image in enumerate(ids)]
    with ledger.connect("training") as connection:
        return datasets.freeze(connection, settings.get(), "holdout", rows, [shard], {"images": "made"}, "tester")


def make(folder: Path, model: str = "pytorch", name: str = "own", **changes: Any) -> int:
    """The exit code; `changes` are to the preprocessing."""
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    wanted = {"height": SIDE, "width": SIDE, "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}
    (folder / "preprocessing.json").write_text(json.dumps(wanted | changes))
    classes, preprocessing = str(folder / "classes.txt"), str(folder / "preprocessing.json")
    return import_model.import_model(settings.get(), str(EXPORTS / f"{model}.onnx"), classes, preprocessing, name)


def registered() -> list[dict[str, Any]]:
    with ledger.connect("training") as connection:
        return connection.execute("SELECT * FROM model_versions WHERE name = 'own'").fetchall()


def execute(command: str, request: dict[str, Any]) -> SealedAttempt:
    operator = ProcessOperator(task_id=command, vision_command=command, request=request)
    done = operator.execute({"run_id": RUN, "ti": SimpleNamespace(try_number=1)})
    return SealedAttempt.from_dict(done)


def test_an_imported_model_is_measured_and_goes_through_the_gate(tmp_path, holdout):
    champion = registry.register(settings.REPOSITORY / "models" / "cifar_resnet20_v1", "tester")
    registry.install_first(champion, "tester")
    assert make(tmp_path) == 0
    (row,) = registered()
    assert (row["network"], row["classes"], row["metrics"]["images"]) == ("onnx", CLASSES, holdout.images)
    kept = settings.get().store / row["bundle"]
    assert {contract.REFERENCE_FILE, contract.CARD_FILE} <= bundles.verify(kept, row["version"]).files.keys()
    assert not list(settings.get().store.glob(".partial-*"))

    pinned = evaluation.plan(RUN, "mia", row["version"])
    validated = execute("infra_validate", evaluation.infra_validate_request(pinned).to_dict())
    evaluated = [execute("evaluate", request.to_dict()) for request in evaluation.evaluations(pinned, validated)]
    held = evaluation.evaluate_gate(pinned, validated, evaluated)
    with ledger.connect("gate") as connection:
        checks = connection.execute("SELECT check_name, outcome FROM gate_results").fetchall()
    outcomes = {row["check_name"]: row["outcome"] for row in checks}
    assert (held.outcome, outcomes["loads"], outcomes["golden images"]) == ("fail", "pass", "pass")
    assert outcomes["accuracy floor"] == "fail", "it has learnt nothing"


def test_without_a_holdout_it_is_registered_and_that_is_said(tmp_path, capsys):
    (tmp_path / "linked.onnx").symlink_to(EXPORTS / "pytorch.onnx")
    assert make(tmp_path, str(tmp_path / "linked")) == 0
    assert registered()[0]["metrics"] is None
    assert "there is no holdout of its classes" in capsys.readouterr().out


def test_a_holdout_of_other_pixels_whose_files_are_gone_leaves_it_unmeasured(tmp_path, holdout, capfd):
    assert make(tmp_path, resize="squash") == 0
    assert registered()[0]["metrics"] is None
    says = f"holdout {holdout.dataset_id[:12]} was packed for another model, and none of its files is left"
    assert says in capfd.readouterr().out


def test_a_file_that_is_refused_registers_nothing(tmp_path, capfd):
    assert make(tmp_path, model="pytorch_external") == 1
    assert registered() == []
    said = capfd.readouterr().err
    assert "keeps weights in another file" in said
    assert "Traceback" not in said


def test_a_name_that_leads_elsewhere_is_refused(tmp_path, capsys):
    assert make(tmp_path, name="../own") == 1
    assert "is not the plain name of a file" in capsys.readouterr().err


def test_what_is_missing_is_said(capsys):
    assert import_model.main("model.onnx", "", "", "", "") == 1
    assert capsys.readouterr().err.startswith("make import-model ONNX=model.onnx CLASSES=classes.txt")
