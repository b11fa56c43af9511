"""Parity, as a process: of the committed champion, of a copy with another graph, and of one without weights."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import strandline_contract as contract
from vision import backends, shards
from vision.models import bundles

PROJECT = Path(__file__).resolve().parents[1]
CHAMPION = PROJECT.parents[1] / "models" / "cifar_resnet20_v1"
CLASSES = json.loads((CHAMPION / contract.CLASSES_FILE).read_bytes())
IMAGES = 70  # no multiple of a batch
SIDE = 32
FILES = ("shard", "labels")


def runtime(backend: str, precision: str = "f32", device: str = "cpu") -> contract.Runtime:
    return contract.Runtime(backend, threads=1, batch_size=32, precision=precision, device=device)


REFERENCE = runtime("mxnet")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """The champion, and labelled images."""
    folder = tmp_path_factory.mktemp("store")
    shutil.copytree(CHAMPION, folder / "champion")
    tiles = np.random.default_rng(1).integers(0, 256, (IMAGES, 4, 4, 3), np.uint8)
    pixels = tiles.repeat(SIDE // 4, axis=1).repeat(SIDE // 4, axis=2)
    ids = [f"{number:064x}" for number in range(IMAGES)]
    rows = {"image_id": ids, "pixels": [image.tobytes() for image in pixels], "format": ["PNG"] * IMAGES}
    rows |= {name: [SIDE] * IMAGES for name in ("width", "height", "bytes")}
    rows |= {name: [0.5] * IMAGES for name in contract.IMAGE_STATISTICS}
    labels = [CLASSES[number % len(CLASSES)] for number in range(IMAGES)]
    for name, columns, table in (
        ("shard", contract.SHARD_COLUMNS, rows),
        ("labels", contract.LABEL_COLUMNS, {"image_id": ids, "label": labels}),
    ):
        with shards.TableWriter(folder / f"{name}.parquet", columns) as writer:
            writer.write(table)
    return folder


def altered(store: Path, name: str, change) -> str:
    """A copy of the champion's folder that is sealed again after a change."""
    folder = shutil.copytree(store / "champion", store / name)
    change(folder)
    bundles.seal(folder, name, "cifar_resnet20_v1")
    return name


@pytest.fixture(scope="module")
def turned(store) -> str:
    return altered(store, "turned", turn_classes)


def turn_classes(folder: Path) -> None:
    """Have the graph give each class the probability of its neighbour: as good a file, and all labels are wrong."""
    model = onnx.load(folder / contract.GRAPH_FILE)
    (dense,) = [node for node in model.graph.node if node.op_type == "Gemm"]
    for initializer in model.graph.initializer:
        if initializer.name in dense.input[1:]:
            values = np.roll(onnx.numpy_helper.to_array(initializer), 1, axis=0)
            initializer.CopyFrom(onnx.numpy_helper.from_array(values, initializer.name))
    onnx.save(model, folder / contract.GRAPH_FILE)


def run(store: Path, name: str, expect: int = 0, bundle: str = "champion", **changes) -> tuple[Path, str]:
    folder = store / name
    folder.mkdir()
    version = contract.sha256_file(store / bundle / contract.BUNDLE_MANIFEST)
    files = {one: contract.FileRef(f"{one}.parquet", contract.sha256_file(store / f"{one}.parquet")) for one in FILES}
    given = {"reference": REFERENCE, "runtimes": (runtime("openvino"),)} | changes
    request = contract.ParityRequest(contract.BundleRef(bundle, version), (files["shard"],), files["labels"], **given)
    contract.write_json(folder / contract.REQUEST_FILE, request.to_dict())
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "MPLCONFIGDIR": str(folder)}
    environment |= {"PYTHONPATH": str(PROJECT), "STRANDLINE_STORE": str(store), "STRANDLINE_LANDING": str(store)}
    command = [sys.executable, "-m", "vision", "parity", "--request", str(folder / contract.REQUEST_FILE)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == expect, done.stderr
    return folder, done.stderr


def report(folder: Path) -> contract.ParityReport:
    assert set(contract.read_result(folder, "parity").files) == {contract.PARITY_FILE}
    return contract.ParityReport.from_json(contract.read_file(folder / contract.PARITY_FILE))


@pytest.fixture(scope="module")
def champion(store) -> contract.ParityReport:
    asked = ("openvino", "f32"), ("openvino", "bf16"), ("onnxruntime", "f32"), ("mxnet", "f32"), ("mxnet", "bf16")
    runtimes = (*(runtime(*one) for one in asked), runtime("onnxruntime", device="gpu"))
    return report(run(store, "of-champion", runtimes=runtimes)[0])


def accounted(found: contract.Agreement) -> int:
    return found.both_right + found.reference_right + found.runtime_right + found.none_right


def test_the_champion_says_the_same_by_every_backend_in_f32(champion):
    assert champion.reference == REFERENCE
    assert champion.processor
    assert champion.reference_images_per_second > 0
    for place, backend in ((0, "openvino"), (2, "onnxruntime"), (3, "mxnet")):
        found = champion.found[place].agreement
        assert champion.found[place].runtime == runtime(backend)
        assert found.images == found.equal_labels == accounted(found) == IMAGES
        assert found.reference_right == found.runtime_right == 0
        assert found.largest_difference <= contract.TOLERANCES["f32"]
        assert found.golden_difference <= contract.TOLERANCES["f32"]
        assert found.versions["backend"] == backend
    assert champion.found[3].agreement.largest_difference == 0  # the reference itself, in another process


def test_bf16_is_compared_or_it_is_said_that_the_processor_has_none(champion):
    found = champion.found[1]
    if found.agreement is None:
        assert found.reason == "the request asks for bf16, which this processor does not compute in"
        return
    assert accounted(found.agreement) == IMAGES
    assert contract.TOLERANCES["f32"] < found.agreement.largest_difference < 0.5
    assert found.agreement.golden_difference < contract.TOLERANCES["bf16"]


def test_a_runtime_that_is_not_there_is_an_answer(champion):
    without_bf16, without_gpu = champion.found[4:]
    assert without_bf16.agreement is without_gpu.agreement is None
    assert "mxnet computes in f32" in without_bf16.reason
    assert "asks for a GPU" in without_gpu.reason


def test_a_graph_that_says_something_else_than_the_weights_is_found(store, turned):
    found = report(run(store, "of-turned", bundle=turned)[0]).found[0].agreement
    assert (found.images, found.equal_labels) == (IMAGES, 0)
    assert found.both_right == 0
    assert found.reference_right + found.runtime_right > 0
    assert accounted(found) == IMAGES
    assert found.largest_difference > 0.5
    assert found.golden_difference > 0.5


def test_a_reference_that_cannot_compute_the_bundle_is_an_error(store):
    imported = altered(store, "imported", lambda folder: (folder / contract.WEIGHTS_FILE).unlink())
    _, errors = run(store, "of-imported", contract.EXIT_BAD_INPUT, imported)
    assert "has no weights.params, which MXNet needs" in errors
    found = report(run(store, "by-onnxruntime", bundle=imported, reference=runtime("onnxruntime"))[0])
    assert (found.reference.backend, found.found[0].agreement.equal_labels) == ("onnxruntime", IMAGES)


def test_a_reference_that_golden_images_refuse_is_an_error(store, turned):
    _, errors = run(store, "by-turned", contract.EXIT_FAILED, turned, reference=runtime("onnxruntime"))
    assert "off what the bundle says" in errors


@pytest.mark.parametrize("backend", contract.PRECISIONS)
def test_backends_compute_in_what_the_contract_says(backend):
    assert backends.load(backend).precisions == contract.PRECISIONS[backend]
