"""Parity, planned and recorded: in a real ledger, by the real command on the committed champion, and by made counts."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import drift_windows as drifting
import gate_evaluations
import parities
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Database
from ledger_rows import digest

import strandline_contract as contract
from strandline import ledger, settings
from strandline.models import datasets, registry, runtimes
from strandline.models.versions import NoChampion, VersionError
from strandline.operators.process import ProcessOperator
from strandline.parity import parity, tasks
from strandline.parity.parity import ParityError

pytestmark = pytest.mark.usefixtures("database")
IMAGES = 4000
RUN = "run 1"


@pytest.fixture
def version() -> str:
    """The champion, whole in the store."""
    made = gate_evaluations.make_version("first")
    registry.install_first(made, "tester")
    return made


@pytest.fixture
def holdout() -> datasets.Dataset:
    return gate_evaluations.freeze("holdout", IMAGES)[0]


def set_(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(f"STRANDLINE_{name}", value)
    settings.get.cache_clear()


def named(runtimes: tuple[contract.Runtime, ...]) -> list[str]:
    return [str(runtime) for runtime in runtimes]


def rows() -> list[dict[str, Any]]:
    with ledger.connect("training") as connection:
        return connection.execute("SELECT * FROM reporting.parity ORDER BY recorded_at").fetchall()


def test_every_backend_is_compared_with_mxnet_in_each_of_its_precisions(version, holdout):
    request = parity.plan(None)
    assert contract.parse_request("parity", request.to_dict()) == request
    assert request.bundle.version == version
    assert (request.labels, request.shards) == (holdout.labels, holdout.shards)
    assert str(request.reference) == "mxnet f32 on a cpu"
    cpu = ("openvino f32", "openvino bf16", "onnxruntime f32")
    assert named(request.runtimes) == [f"{name} on a cpu" for name in cpu]


def test_an_imported_model_is_compared_with_onnx_runtime(holdout, tmp_path):
    imported = drifting.register(tmp_path, **{contract.WEIGHTS_FILE: None})
    request = parity.plan(imported[:12])
    assert str(request.reference) == "onnxruntime f32 on a cpu"
    assert named(request.runtimes) == ["openvino f32 on a cpu", "openvino bf16 on a cpu"]


@pytest.mark.parametrize(("backend", "reference"), [("onnxruntime", "onnxruntime"), ("mxnet", "mxnet")])
def test_a_gpu_is_compared_with_a_cpu(version, holdout, monkeypatch, backend, reference):
    """Images for new cards have no MXNet."""
    set_(monkeypatch, DEVICE="gpu", BACKEND=backend)
    request = parity.plan(None)
    assert str(request.reference) == f"{reference} f32 on a cpu"
    assert named(request.runtimes) == [f"{backend} f32 on a gpu"]


def test_the_holdout_is_one_of_the_versions_classes(version, holdout):
    """Whatever was frozen since, for a model of others."""
    gate_evaluations.freeze("holdout", IMAGES, ("red", "blue"))
    assert parity.plan(None).labels == holdout.labels


def test_what_cannot_be_compared_is_said(version):
    gate_evaluations.freeze("holdout", IMAGES, ("red", "blue"))
    with pytest.raises(ParityError, match="no holdout"):
        parity.plan(None)
    with pytest.raises(VersionError, match="no model version"):
        parity.plan("abcdef")


def test_without_a_champion_a_version_has_to_be_named():
    with pytest.raises(NoChampion):
        parity.plan(None)


def test_what_was_measured_is_decided_recorded_once_and_shown(version, holdout, caplog):
    caplog.set_level("INFO")
    request = parity.plan(None)
    found = {"openvino f32": parities.agreement(IMAGES), "openvino bf16": parities.lost(IMAGES, 60)}
    measured = parities.measured(request, found)
    recorded = parity.record(RUN, measured)
    assert recorded == parity.Recorded(version, {"openvino f32 cpu": "pass", "openvino bf16 cpu": "fail"})
    assert parity.record(RUN, measured) == recorded
    f32, bf16 = rows()
    assert (f32["outcome"], f32["accuracy"], f32["reference_accuracy"], f32["latest"]) == ("pass", 0.9, 0.9, True)
    assert (bf16["outcome"], bf16["accuracy"], bf16["equal_labels"]) == ("fail", 0.885, 0.985)
    assert (bf16["reference"], bf16["run_id"]) == ("mxnet f32", RUN)
    assert "onnxruntime f32 on a cpu: not here. there is none" in caplog.text
    assert "openvino bf16 cpu       fail" in caplog.text
    assert bf16["sentence"] in caplog.text


@pytest.mark.parametrize("broken", ["other runtimes", "other images", "altered", "another run"])
def test_a_report_of_something_else_is_refused(version, holdout, broken):
    request = parity.plan(None)
    found = {"openvino f32": parities.agreement(IMAGES - 1 if broken == "other images" else IMAGES)}
    measured = parities.measured(request, found)
    folder = settings.get().store / measured.folder
    if broken == "other runtimes":
        contract.write_json(
            folder / contract.REQUEST_FILE, dataclasses.replace(request, runtimes=(request.reference,)).to_dict()
        )
        contract.write_result(folder, "parity", [contract.PARITY_FILE], {}, {}, {})
        measured = dataclasses.replace(measured, sealed=contract.sha256_file(folder / contract.RESULT_FILE))
    if broken == "altered":
        (folder / contract.PARITY_FILE).write_text("{}")
    with pytest.raises(contract.NoResult):
        parity.record("run 2" if broken == "another run" else RUN, measured)
    assert rows() == []


@pytest.mark.parametrize(
    "change",
    [
        "equal_labels = 3999",
        "largest_difference = 0.001",
        "precision = 'bf16', equal_labels = 3979, both_right = 3579, none_right = 421",
        "none_right = none_right - 1",
        "outcome = 'surely'",
    ],
)
def test_the_ledger_keeps_no_pass_of_other_answers(version, holdout, database: Database, change):
    parity.record(RUN, parities.measured(parity.plan(None), {"openvino f32": parities.agreement(IMAGES)}))
    with psycopg.connect(database.owner) as owner, pytest.raises(psycopg.errors.CheckViolation):
        owner.execute(f"UPDATE model_parity SET {change}")


def test_the_champion_is_compared_by_the_real_command(database, tmp_path):
    """Noise for images: of these its labels are as good as any."""
    version = drifting.register(tmp_path)
    names = [digest(f"image {number}") for number in range(100)]
    shard = settings.get().store / "shards" / "noise.parquet"
    shard.parent.mkdir(parents=True)
    pixels = [bytes(bytearray.fromhex(name) * 96) for name in names]
    pq.write_table(pa.table({"image_id": names, "pixels": pixels}), shard)
    ref = contract.FileRef("shards/noise.parquet", contract.sha256_file(shard))
    labels = [(name, drifting.CLASSES[number % 10]) for number, name in enumerate(names)]
    with ledger.connect("training") as connection:
        datasets.freeze(connection, settings.get(), "holdout", labels, [ref], {"images": "made"}, "tester")
    operator = ProcessOperator(task_id="measure", vision_command="parity", request=tasks.plan(version[:12]))
    measured = operator.execute({"run_id": RUN, "ti": SimpleNamespace(try_number=1)})
    outcomes = tasks.record(RUN, measured)["outcomes"]
    assert (outcomes["openvino f32 cpu"], outcomes["onnxruntime f32 cpu"]) == ("pass", "pass")
    if "openvino bf16 cpu" in outcomes:  # a processor that has none, says so
        assert outcomes["openvino bf16 cpu"] == "not enough evidence"  # of 100 images
        with (
            ledger.connect("training") as connection,
            pytest.raises(runtimes.UnprovedRuntime, match="a holdout of about"),
        ):
            runtimes.proved(connection, contract.Runtime("openvino", 1, 64, "bf16"), version)
