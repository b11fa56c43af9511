"""Train, classify, evaluate, package: the real commands, as processes, on a small data set made here."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest

import strandline_contract as contract
from vision import hardware, shards
from vision.decoding import pixels
from vision.models import bundles, corruptions, golden, metrics
from vision.models.history import TrainingHistory

PROJECT = Path(__file__).resolve().parents[1]
CLASSES = ("stripes", "disc")
NETWORK = "cifar_resnet20_v1"
REF = {"path": "a", "sha256": "0"}


def image(label: str, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:32, 0:32]
    shape = (rows // 4 % 2) if label == "stripes" else ((rows - 16) ** 2 + (columns - 16) ** 2 < 90)
    colour = random.integers(60, 255, 3)
    noisy = shape[..., None] * colour + random.integers(0, 40, (32, 32, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def write_data(folder: Path, count: int, first: int = 0) -> dict:
    """A shard and its labels; image ids are the hashes of the pixels."""
    labels = [CLASSES[i % 2] for i in range(count)]
    images = [image(label, first + i) for i, label in enumerate(labels)]
    ids = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    folder.mkdir(parents=True)
    numbers = {name: [0.5] * count for name in contract.IMAGE_STATISTICS}
    rows = {"image_id": ids, "pixels": [i.tobytes() for i in images], "format": ["PNG"] * count}
    rows |= {name: [32] * count for name in ("width", "height", "bytes")}
    write(folder / "shard.parquet", contract.SHARD_COLUMNS, rows | numbers)
    write(folder / "labels.parquet", contract.LABEL_COLUMNS, {"image_id": ids, "label": labels})
    return {name: ref(folder.parent, folder / f"{name}.parquet") for name in ("shard", "labels")}


def write(path: Path, columns, rows: dict) -> None:
    writer = shards.TableWriter(path, columns)
    writer.write(rows)
    writer.close()


def ref(store: Path, path: Path) -> dict:
    return {"path": str(path.relative_to(store)), "sha256": contract.sha256_file(path)}


def start(store: Path, name: str, command: str, request: dict) -> tuple[Path, subprocess.Popen]:
    folder = store / name
    folder.mkdir(exist_ok=True)
    (folder / "request.json").write_text(json.dumps(request))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "MPLCONFIGDIR": str(folder),
        "PYTHONPATH": str(PROJECT),
        "STRANDLINE_STORE": str(store),
        "STRANDLINE_LANDING": str(store),
        **{name: value for name, value in os.environ.items() if name == "STRANDLINE_SUBMITTED_AT"},
    }
    arguments = [sys.executable, "-m", "vision", command, "--request", str(folder / "request.json")]
    return folder, subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True)


def run(store: Path, name: str, command: str, request: dict, expect: int = 0) -> tuple[Path, str]:
    folder, process = start(store, name, command, request)
    _, errors = process.communicate()
    assert process.returncode == expect, errors
    if expect == 0:
        contract.read_result(folder, command)
    return folder, errors


def train_request(data: dict, **changes) -> dict:
    request = {
        "name": "shapes",
        "network": NETWORK,
        "classes": list(CLASSES),
        "shards": [data["shard"]],
        "labels": data["labels"],
        "height": 32,
        "width": 32,
        "mean": [0.3, 0.3, 0.3],
        "std": [0.3, 0.3, 0.3],
        "epochs": 8,
        "batch_size": 16,
        "peak_lr": 0.1,
        "threads": 1,
        "seed": 7,
    }
    return request | changes


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def data(store) -> dict:
    return write_data(store / "train-data", 192)


@pytest.fixture(scope="module")
def fresh(store) -> dict:
    """Images that no training saw; an odd number, so that the last batch is partial."""
    return write_data(store / "test-data", 75, first=10_000)


@pytest.fixture(scope="module")
def trained(store, data) -> Path:
    return run(store, "train", "train", train_request(data))[0] / "bundle"


@pytest.fixture(scope="module")
def bundle(store, trained) -> dict:
    return {
        "path": str(trained.relative_to(store)),
        "version": contract.sha256_file(trained / contract.BUNDLE_MANIFEST),
    }


@pytest.fixture(scope="module")
def evaluated(store, bundle, fresh) -> Path:
    request = {"bundle": bundle, "shards": [fresh["shard"]], "labels": fresh["labels"], "runtime": runtime()}
    return run(store, "evaluate", "evaluate", request | {"corrupted_images": 50})[0]


def runtime(**changes) -> dict:
    return {"backend": "openvino", "threads": 1, "batch_size": 16} | changes


def classify_request(bundle: dict, data: dict, **changes) -> dict:
    """`changes` are to its runtime."""
    return {"shard_id": "s", "shard": data["shard"], "bundle": bundle, "runtime": runtime(**changes)}


def test_training_learns_and_its_result_holds_on_new_images(evaluated):
    metrics = json.loads((evaluated / contract.METRICS_FILE).read_bytes())
    assert metrics["images"] == 75
    assert metrics["accuracy"] > 0.9
    assert sum(map(sum, metrics["confusion"])) == 75
    robustness = metrics["robustness"]
    assert robustness["images"] == 50
    assert robustness["accuracy"].keys() == {"as they are"} | corruptions.MEASURED.keys()
    assert robustness["accuracy"]["as they are"] > 0.9
    assert len(set(robustness["accuracy"].values())) > 1


def test_a_killed_training_goes_on_from_its_checkpoint(store, data):
    request = train_request(data, epochs=3, corruption={"jpeg": 0.5})
    _, whole = run(store, "whole", "train", request)
    folder, process = start(store, "killed", "train", request)
    deadline = time.monotonic() + 120
    while not (folder / "checkpoint.npz").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline, "no checkpoint in two minutes"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (folder / "result.json").exists()
    _, resumed = run(store, "resumed", "train", request | {"resume": "killed"})
    assert "epoch 1/3" not in resumed
    assert losses(resumed) == losses(whole)[-len(losses(resumed)) :]
    manifests = [contract.sha256_file(store / name / "bundle/manifest.json") for name in ("whole", "resumed")]
    assert manifests[0] == manifests[1]
    training = json.loads((store / "whole/bundle" / contract.TRAINING_FILE).read_bytes())
    assert contract.Corruption.from_dict(training["corruption"]) == contract.Corruption(jpeg=0.5)


def losses(progress: str) -> list[float]:
    return [float(line.split("loss ")[1].split(",")[0]) for line in progress.splitlines() if "loss " in line]


def test_a_checkpoint_of_another_request_is_refused(store, data):
    folder = store / "stolen"
    folder.mkdir()
    np.savez(folder / "checkpoint.npz", epochs=1, request="{}")
    _, errors = run(store, "refused", "train", train_request(data, resume="stolen"), contract.EXIT_BAD_REQUEST)
    assert "another training request" in errors


def test_classify_gives_one_sane_row_for_every_shard_row(store, bundle, fresh):
    folder, _ = run(store, "classify", "classify", classify_request(bundle, fresh))
    rows = pq.read_table(folder / "predictions.parquet")
    assert rows["image_id"].to_pylist() == pq.read_table(store / fresh["shard"]["path"])["image_id"].to_pylist()
    probabilities = np.array(rows["probabilities"].to_pylist())
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(probabilities.max(axis=1), rows["confidence"].to_numpy())
    assert rows["label"].to_pylist() == [CLASSES[i] for i in probabilities.argmax(axis=1)]
    assert rows["failure"].null_count == len(rows)
    assert np.array(rows["embedding"].to_pylist()).shape == (75, 64)


@pytest.mark.parametrize(
    ("backend", "libraries"),
    [("openvino", {"openvino"}), ("onnxruntime", {"onnxruntime"}), ("mxnet", {"mxnet", "gluoncv"})],
)
def test_classifying_again_gives_the_same_bits_and_names_what_decides_them(store, bundle, fresh, backend, libraries):
    results = []
    for attempt in ("once", "again"):
        request = classify_request(bundle, fresh, backend=backend, threads=2)
        folder, _ = run(store, f"{attempt}-{backend}", "classify", request)
        results.append(contract.read_result(folder, "classify"))
    once, again = results
    assert once.files == again.files
    assert once.versions == again.versions
    assert once.versions.keys() == {"numpy", "model", "processor", "backend", "precision", "batch_size"} | libraries
    assert (once.versions["backend"], once.versions["precision"]) == (backend, "f32")
    assert once.versions["processor"] == hardware.processor()


def test_the_result_says_what_starting_up_took(store, bundle, fresh, monkeypatch):
    monkeypatch.setenv("STRANDLINE_SUBMITTED_AT", str(time.time() - 5))
    folder, _ = run(store, "awaited", "classify", classify_request(bundle, fresh))
    seconds = contract.read_result(folder, "classify").seconds
    assert seconds.keys() == {"spawn", "import", "verify", "first_batch", "classify"}
    assert seconds["spawn"] >= 5
    assert all(value > 0 for value in seconds.values())


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime", "mxnet"])
def test_classify_agrees_with_a_plain_gluoncv_loop(store, bundle, fresh, trained, backend):
    folder, _ = run(store, f"compare-{backend}", "classify", classify_request(bundle, fresh, backend=backend))
    loop = """
import json, sys, numpy as np, mxnet as mx, pyarrow.parquet as pq
from gluoncv.model_zoo import get_model
net = get_model(sys.argv[1], classes=2)
net.load_parameters(sys.argv[2])
pixels = [np.frombuffer(p, np.uint8).reshape(32, 32, 3) for p in pq.read_table(sys.argv[3])["pixels"].to_pylist()]
x = ((np.stack(pixels) / 255.0 - 0.3) / 0.3).transpose(0, 3, 1, 2).astype(np.float32)
print(json.dumps([mx.nd.softmax(net(mx.nd.array(x[i : i + 1]))).asnumpy()[0].tolist() for i in range(len(x))]))
"""
    arguments = [NETWORK, str(trained / contract.WEIGHTS_FILE), str(store / fresh["shard"]["path"])]
    printed = subprocess.run([sys.executable, "-c", loop, *arguments], check=True, capture_output=True, text=True)
    rows = pq.read_table(folder / "predictions.parquet")
    np.testing.assert_allclose(rows["probabilities"].to_pylist(), json.loads(printed.stdout), atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 75, 200])
def test_probabilities_do_not_depend_on_the_batch(store, bundle, fresh, batch_size, evaluated):
    request = classify_request(bundle, fresh, batch_size=batch_size)
    folder, _ = run(store, f"batch-{batch_size}", "classify", request)
    rows = {r["image_id"]: r["probabilities"] for r in pq.read_table(folder / "predictions.parquet").to_pylist()}
    other = {r["image_id"]: r["probabilities"] for r in pq.read_table(evaluated / "predictions.parquet").to_pylist()}
    np.testing.assert_allclose([rows[i] for i in rows], [other[i] for i in rows], atol=1e-5)


def test_an_empty_shard_gives_an_empty_answer(store, bundle):
    shard = store / "empty.parquet"
    write(shard, contract.SHARD_COLUMNS, {name: [] for name, _ in contract.SHARD_COLUMNS})
    folder, _ = run(store, "empty", "classify", classify_request(bundle, {"shard": ref(store, shard)}))
    assert pq.read_table(folder / "predictions.parquet").num_rows == 0


@pytest.mark.parametrize("break_it", ["flip", "truncate", "empty", "missing"])
def test_altered_weights_are_refused(store, bundle, fresh, trained, break_it):
    copy = store / f"broken-{break_it}"
    shutil.copytree(trained, copy)
    weights = copy / contract.WEIGHTS_FILE
    raw = bytearray(weights.read_bytes())
    raw[len(raw) // 2] ^= 1
    if break_it == "missing":
        weights.unlink()
    else:
        weights.write_bytes({"flip": bytes(raw), "truncate": bytes(raw[:1000]), "empty": b""}[break_it])
    request = classify_request(bundle | {"path": copy.name}, fresh)
    _, errors = run(store, f"refuse-{break_it}", "classify", request, contract.EXIT_BAD_INPUT)
    assert "weights.params" in errors


@pytest.mark.parametrize("golden", [True, False])
def test_weights_that_are_not_finite_fail_every_image_by_name_or_all_at_once(store, fresh, trained, golden):
    """At once where the bundle says what it answers to its golden images."""
    script = """
import sys, mxnet as mx
arrays = mx.nd.load(sys.argv[1])
mx.nd.save(sys.argv[1], {k: v * float("nan") if "output" in k else v for k, v in arrays.items()})
"""
    copy = store / f"nan-{golden}"
    shutil.copytree(trained, copy)
    subprocess.run([sys.executable, "-c", script, str(copy / contract.WEIGHTS_FILE)], check=True)
    manifest = json.loads((copy / contract.BUNDLE_MANIFEST).read_bytes())
    manifest["files"]["weights.params"]["sha256"] = contract.sha256_file(copy / contract.WEIGHTS_FILE)
    if not golden:
        del manifest["files"][contract.GOLDEN_FILE]
        (copy / contract.GOLDEN_FILE).unlink()
    (copy / contract.BUNDLE_MANIFEST).write_text(json.dumps(manifest))
    bundle = {"path": copy.name, "version": contract.sha256_file(copy / contract.BUNDLE_MANIFEST)}
    request = classify_request(bundle, fresh, backend="mxnet")
    if golden:
        _, errors = run(store, "nan-refused", "classify", request, contract.EXIT_FAILED)
        assert "gives probabilities on this cpu that are nan off what the bundle says" in errors
        return
    folder, _ = run(store, "nan-out", "classify", request)
    rows = pq.read_table(folder / "predictions.parquet")
    assert set(rows["failure"].to_pylist()) == {"NOT_FINITE"}
    assert rows["label"].null_count == 75
    assert contract.read_result(folder, "classify").counts == {"rows": 75, "classified": 0, "failed": 75}


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({"shard": {"path": "test-data/shard.parquet", "sha256": "0" * 64}}, contract.EXIT_BAD_INPUT, "SHA-256"),
        ({"shard": {"path": "gone.parquet", "sha256": "0" * 64}}, contract.EXIT_BAD_INPUT, "does not exist"),
        ({"shard": {"path": "../x", "sha256": "0" * 64}}, contract.EXIT_BAD_REQUEST, "inside"),
        ({"runtime": runtime(threads="2")}, contract.EXIT_BAD_REQUEST, "threads"),
        ({"runtime": runtime(backend="tensorflow")}, contract.EXIT_BAD_REQUEST, "backend"),
        ({"runtime": runtime(backend="mxnet", precision="bf16")}, contract.EXIT_BAD_REQUEST, "computes in f32"),
        ({"runtime": runtime(device="gpu")}, contract.EXIT_BAD_REQUEST, "openvino computes in f32 or bf16 on a cpu"),
        ({"colour": "red"}, contract.EXIT_BAD_REQUEST, "colour"),
        ({"bundle": {"path": "train/bundle", "version": "0" * 64}}, contract.EXIT_BAD_INPUT, "version"),
    ],
)
def test_wrong_requests_end_with_their_exit_code(store, bundle, fresh, changes, code, says):
    name = f"wrong-{hashlib.sha256(repr(changes).encode()).hexdigest()[:8]}"
    folder, errors = run(store, name, "classify", classify_request(bundle, fresh) | changes, code)
    assert says in errors
    assert not (folder / "result.json").exists()


@pytest.mark.parametrize("backend", ["onnxruntime", "mxnet"])
def test_a_gpu_that_is_not_there_fails_loudly(store, bundle, fresh, backend):
    request = classify_request(bundle, fresh, backend=backend, device="gpu")
    _, errors = run(store, f"gpu-{backend}", "classify", request, contract.EXIT_FAILED)
    assert "asks for a GPU" in errors


def preflight_request(bundle: dict, **changes) -> dict:
    """`changes` are to its runtime."""
    return {"shard_id": "check", "bundle": bundle, "runtime": runtime(**changes)}


def test_preflight_says_what_a_host_can_do(store, bundle):
    folder, _ = run(store, "preflight", "preflight", preflight_request(bundle))
    report = contract.PreflightReport.from_dict(json.loads((folder / "preflight.json").read_bytes()))
    assert report.device == "cpu"
    assert report.largest_difference <= 1e-4
    assert report.hardware
    assert report.images_per_second > 10
    assert report.batch_size == 16
    assert report.versions["model"] == bundle["version"]
    result = contract.read_result(folder, "preflight")
    assert set(result.files) == {"preflight.json"}
    assert result.seconds.keys() >= {"libraries", "verify", "first_batch", "compare", "measure"}


def test_preflight_refuses_an_altered_bundle(store, bundle, trained):
    shutil.copytree(trained, store / "altered")
    (store / "altered" / contract.CLASSES_FILE).write_text('["disc", "stripes"]')
    request = preflight_request(bundle | {"path": "altered"})
    _, errors = run(store, "preflight-altered", "preflight", request, contract.EXIT_BAD_INPUT)
    assert "classes.json" in errors


@pytest.mark.parametrize(
    ("nvidia_smi", "says"),
    [
        (None, "there is no nvidia-smi"),
        ("echo no driver answers >&2; exit 9", "ended with 9 and said: no driver answers;"),
        ("exit 0", "said: nothing"),
        ("echo A card, 1.2.3, 16384 MiB", "has no CUDAExecutionProvider"),
    ],
    ids=["no tool", "no driver", "no card", "no CUDA"],
)
def test_preflight_of_a_gpu_that_cannot_be_used_fails_loudly(store, bundle, monkeypatch, tmp_path, nvidia_smi, says):
    if nvidia_smi:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{nvidia_smi}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    request = preflight_request(bundle, backend="onnxruntime", device="gpu")
    folder, errors = run(store, tmp_path.name, "preflight", request, contract.EXIT_FAILED)
    assert says in errors.splitlines()[-1]
    assert not (folder / "preflight.json").exists()


def test_the_golden_images_are_always_the_same():
    images = golden.made_images(3, 30, 32)
    assert (images.shape, images.dtype) == ((3, 30, 32, 3), np.uint8)
    np.testing.assert_array_equal(images, golden.made_images(3, 30, 32))
    assert len(np.unique(images.reshape(3, -1), axis=0)) == 3


def test_package_seals_the_trained_weights_with_what_was_measured(store, bundle, evaluated, fresh, trained):
    request = {
        "bundle": bundle,
        "metrics": ref(store, evaluated / contract.METRICS_FILE),
        "predictions": ref(store, evaluated / "predictions.parquet"),
        "shards": [fresh["shard"]],
        "labels": fresh["labels"],
        "made_by": "make shapes",
        "reference_rows": 50,
    }
    folder, _ = run(store, "package", "package", request)
    sealed = folder / "bundle"
    manifest = json.loads((sealed / contract.BUNDLE_MANIFEST).read_bytes())
    assert set(manifest["files"]) | {"manifest.json"} == {file.name for file in sealed.iterdir()}
    assert contract.sha256_file(sealed / contract.WEIGHTS_FILE) == contract.sha256_file(trained / contract.WEIGHTS_FILE)
    card = (sealed / contract.CARD_FILE).read_text()
    assert "`make shapes`" in card
    assert all(f"| {name} |" in card for name in corruptions.MEASURED)
    profile = pq.read_table(sealed / contract.REFERENCE_FILE)
    assert profile.num_rows == 50
    assert {"label", "embedding", "probabilities", *contract.IMAGE_STATISTICS} <= set(profile.column_names)
    labels = pq.read_table(store / fresh["labels"]["path"]).to_pydict()
    truth = dict(zip(labels["image_id"], labels["label"], strict=True))
    assert profile["true_label"].to_pylist() == [truth[one] for one in profile["image_id"].to_pylist()]


def test_a_shard_that_is_older_than_a_statistic_serves_as_ever(store, bundle, evaluated, fresh):
    """And a profile that is made of it has the statistic."""
    older = store / "older.parquet"
    shard = pq.read_table(store / fresh["shard"]["path"])
    pq.write_table(shard.drop_columns("sharpness"), older)
    folder, _ = run(store, "of-older", "classify", classify_request(bundle, {"shard": ref(store, older)}))
    assert pq.read_table(folder / "predictions.parquet").num_rows == len(shard)
    request = {"bundle": bundle, "metrics": ref(store, evaluated / "metrics.json"), "made_by": "make shapes"}
    request |= {"predictions": ref(store, evaluated / "predictions.parquet"), "shards": [ref(store, older)]}
    request |= {"labels": fresh["labels"]}
    folder, _ = run(store, "package-of-older", "package", request)
    profile = pq.read_table(folder / "bundle" / "reference.parquet").sort_by("image_id")
    images = shards.pixels(shard.sort_by("image_id")["pixels"], 32, 32)
    measured = pixels.statistics(images, pixels.luma(images))
    found = np.column_stack([profile[name] for name in contract.IMAGE_STATISTICS])
    np.testing.assert_allclose(found, measured, rtol=1e-5)


def test_a_shard_that_was_made_for_another_model_is_never_fed_to_this_one(store, bundle, evaluated, fresh):
    """However a command comes by it."""
    other = store / "squashed.parquet"
    rule = contract.ResizeRule(32, 32, "squash", interpolation="bilinear")
    shard = pq.read_table(store / fresh["shard"]["path"])
    pq.write_table(shard.replace_schema_metadata(shards.resize_metadata(rule)), other)
    squashed = {"shards": [ref(store, other)], "labels": fresh["labels"]}
    measured = {"predictions": ref(store, evaluated / "predictions.parquet"), "made_by": "make shapes"}
    measured |= {"metrics": ref(store, evaluated / "metrics.json"), "bundle": bundle} | squashed
    requests = {
        "classify": classify_request(bundle, {"shard": ref(store, other)}),
        "evaluate": {"bundle": bundle, "runtime": runtime()} | squashed,
        "train": train_request(fresh | {"shard": ref(store, other)}),
        "package": measured,
    }
    for command, request in requests.items():
        _, errors = run(store, f"squashed-{command}", command, request, expect=contract.EXIT_BAD_INPUT)
        assert "made 32 x 32 pixels (squash, bilinear)" in errors, command
        assert "wants 32 x 32 pixels (fit, bicubic)" in errors, command


def test_a_trained_bundle_says_how_its_images_have_to_be_made(store, fresh):
    other = store / "cropped.parquet"
    rule = contract.ResizeRule(32, 32, "crop", 0.9, "hamming")
    shard = pq.read_table(store / fresh["shard"]["path"])
    pq.write_table(shard.replace_schema_metadata(shards.resize_metadata(rule)), other)
    request = train_request(fresh | {"shard": ref(store, other)}, epochs=1, batch_size=64)
    folder, _ = run(store, "cropped-train", "train", request | rule.to_dict())
    path = folder / "bundle"
    loaded = bundles.load(path.parent, contract.BundleRef("bundle", contract.sha256_file(path / "manifest.json")))
    assert (loaded.resize_rule(), loaded.mean) == (rule, (0.3, 0.3, 0.3))


@pytest.fixture(scope="module")
def tuning(bundle, fresh) -> dict:
    """A request to train further, on images that the bundle has not seen."""
    return train_request(fresh, epochs=3, peak_lr=0.02, low_share=0.0, start=bundle, validation_share=0.2, seed=3)


@pytest.fixture(scope="module")
def tuned(store, tuning) -> Path:
    return run(store, "tuned", "train", tuning)[0]


def test_training_from_a_bundle_starts_where_it_left_off(store, tuning, tuned, bundle):
    scratch, _ = run(store, "scratch", "train", tuning | {"start": None})
    rows, rows_scratch = (json.loads((folder / "curves.json").read_bytes()) for folder in (tuned, scratch))
    assert rows[0]["loss"] < rows_scratch[0]["loss"] / 2
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    names = {"epoch", "loss", "accuracy", "lr", "validation_loss", "validation_accuracy", "seconds"}
    assert all(row.keys() == names for row in rows)
    training = json.loads((tuned / "bundle/training.json").read_bytes())
    assert (training["start"], training["images"], training["validation_images"]) == (bundle["version"], 60, 15)
    assert training["best_epoch"] == min(rows, key=lambda row: row["validation_loss"])["epoch"]


def test_the_weights_of_the_best_epoch_are_kept(store, tuning):
    """With a learning rate that ruins it, the first epoch is the best; one epoch alone ends with the same weights."""
    ruinous = tuning | {"peak_lr": 3.0, "warmup": 0.9, "epochs": 6, "patience": 1}
    folder, _ = run(store, "ruined", "train", ruinous)
    training = json.loads((folder / "bundle/training.json").read_bytes())
    rows = json.loads((folder / "curves.json").read_bytes())
    assert training["best_epoch"] < training["epochs_done"] == len(rows) < 6
    data = {"bundle": {"path": "ruined/bundle", "version": contract.sha256_file(folder / "bundle/manifest.json")}}
    request = data | {"shards": tuning["shards"], "labels": tuning["labels"], "runtime": runtime()}
    evaluated, _ = run(store, "ruined-evaluated", "evaluate", request)
    assert json.loads((evaluated / contract.METRICS_FILE).read_bytes())["accuracy"] > 0.9


def test_a_killed_tuning_goes_on_from_its_checkpoint(store, tuning, tuned):
    folder, process = start(store, "tuning-killed", "train", tuning)
    deadline = time.monotonic() + 120
    while not (folder / "checkpoint.npz").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline, "no checkpoint in two minutes"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (folder / "result.json").exists()
    resumed, _ = run(store, "tuning-resumed", "train", tuning | {"resume": "tuning-killed", "shard_id": "again"})
    manifests = [contract.sha256_file(one / "bundle/manifest.json") for one in (tuned, resumed)]
    assert manifests[0] == manifests[1]
    without_time = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in json.loads((one / "curves.json").read_bytes())]
        for one in (tuned, resumed)
    ]
    assert without_time[0] == without_time[1]


def test_blended_weights_are_between_the_first_and_the_learnt_ones(store, tuning, tuned, trained):
    folder, _ = run(store, "interpolated", "train", tuning | {"weight_interpolation": 0.25})
    script = """
import sys, mxnet as mx
first, last, interpolated = (mx.nd.load(path) for path in sys.argv[1:])
assert max(float((last[k] - first[k]).abs().max().asscalar()) for k in first) > 1e-3
print(max(float((0.75 * first[k] + 0.25 * last[k] - interpolated[k]).abs().max().asscalar()) for k in first))
"""
    weights = [str(one / contract.WEIGHTS_FILE) for one in (trained, tuned / "bundle", folder / "bundle")]
    printed = subprocess.run([sys.executable, "-c", script, *weights], check=True, capture_output=True, text=True)
    assert float(printed.stdout.split()[-1]) < 1e-5


def test_a_training_that_has_no_time_ends_after_an_epoch(store, tuning):
    folder, _ = run(store, "hurried", "train", tuning | {"seconds": 0.001, "epochs": 50})
    assert contract.read_result(folder, "train").counts["epochs"] == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"classes": ["disc", "stripes"]}, "to start from"),
        ({"network": "cifar_resnet56_v1"}, "to start from"),
        ({"weight_interpolation": 0.0}, "weight_interpolation must be"),
        ({"weight_interpolation": 0.5, "start": None}, "weight_interpolation must be"),
        ({"validation_share": 0.001}, "is none"),
        ({"validation_share": 1.0}, "nothing to learn from"),
        ({"validation_share": 0.0, "patience": 2}, "is none"),
    ],
)
def test_a_tuning_that_cannot_be_is_refused(store, tuning, changes, says):
    name = f"refused-{hashlib.sha256(repr(changes).encode()).hexdigest()[:8]}"
    _, errors = run(store, name, "train", tuning | changes, contract.EXIT_BAD_REQUEST)
    assert says in errors


def history(epochs: int, *losses: float, seconds: float = 10.0, budget: float | None = None) -> TrainingHistory:
    made = TrainingHistory(epochs)
    for loss in losses:
        made.add({"validation_loss": loss, "seconds": seconds}, budget)
    return made


def test_patience_counts_from_the_best_epoch():
    request = contract.parse_request("train", train_request({"shard": REF, "labels": REF}, epochs=9, patience=2))
    assert not history(9, 0.5, 0.4, 0.6).over(request)
    assert history(9, 0.5, 0.4, 0.6, 0.5).over(request)
    assert history(9, 0.5, 0.4, 0.6, 0.5).best == 2
    assert history(2, 0.5, 0.4).over(request)


@pytest.mark.parametrize(
    ("budget", "done", "epochs"),
    [(None, 1, 9), (95, 1, 9), (89.9, 1, 8), (20, 1, 2), (19, 1, 1), (5, 1, 1), (20, 2, 2)],
)
def test_epochs_for_which_there_is_no_time_are_left_out(budget, done, epochs):
    assert history(9, *[0.5] * done, budget=budget).epochs == epochs


def test_a_slow_epoch_counts_for_those_to_come():
    made = history(9, 0.5, seconds=10, budget=100)
    made.add({"validation_loss": 0.4, "seconds": 30}, 100)
    assert made.epochs == 4


def test_package_adds_curves_and_lineage(store, tuned, evaluated, fresh):
    lineage = contract.Lineage(
        parent="a" * 64, training_set="b" * 64, holdout="c" * 64, recent_set="d" * 64, asked_by="mia", reason="dark",
        report_id=None, run_id="manual", code_revision="e", image_digest=None, versions={}, parameters={"seed": 3},
    )  # fmt: skip
    request = {
        "bundle": {"path": "tuned/bundle", "version": contract.sha256_file(tuned / "bundle/manifest.json")},
        "metrics": ref(store, evaluated / contract.METRICS_FILE),
        "predictions": ref(store, evaluated / "predictions.parquet"),
        "shards": [fresh["shard"]],
        "labels": fresh["labels"],
        "made_by": "retrain_model",
        "curves": ref(store, tuned / "curves.json"),
        "lineage": lineage.to_dict(),
    }
    folder, _ = run(store, "package-tuned", "package", request)
    sealed = folder / "bundle"
    assert contract.Lineage.from_dict(json.loads((sealed / "lineage.json").read_bytes())) == lineage
    assert (sealed / "curves.json").read_bytes() == (tuned / "curves.json").read_bytes()
    assert ElementTree.parse(sealed / "curves.svg").getroot().tag.endswith("svg")
    assert "trained from the weights of model version" in (sealed / contract.CARD_FILE).read_text()


def test_metrics_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    measured = metrics.measure(probabilities, np.array([0, 1, 1, 1]), ("a", "b"))
    assert measured["accuracy"] == 0.75
    assert measured["confusion"] == [[1, 0], [1, 2]]
    assert measured["recall"] == {"a": 1.0, "b": pytest.approx(2 / 3)}
    # each image alone in its bin: the gaps are 0.1, 0.8, 0.4, 0.3
    assert measured["calibration_error"] == pytest.approx((0.1 + 0.8 + 0.4 + 0.3) / 4)
    assert measured["log_loss"] == pytest.approx(-np.log([0.9, 0.2, 0.6, 0.7]).mean())
