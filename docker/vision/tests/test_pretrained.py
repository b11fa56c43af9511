"""The zoo's weights, fetched over HTTP from a mirror on this machine."""

import functools
import hashlib
import http.server
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import pytest

import strandline_contract as contract
from vision.models import bundles

PROJECT = Path(__file__).resolve().parents[1]
MODEL = "cifar_resnet20_v1"
# The zoo's real weights are not here, so the mirror serves weights made now, and GluonCV's table gets their SHA-1.
FETCH = """
import sys
from gluoncv.model_zoo import model_store
model_store._model_sha1[sys.argv[1]] = sys.argv[2]
sys.argv = ["vision.models.pretrained", sys.argv[1], "--out", sys.argv[3]]
from vision.models import pretrained
sys.exit(pretrained.main())
"""
MAKE = """
import sys, mxnet as mx
from gluoncv.model_zoo import get_model
net = get_model(sys.argv[1], **({"classes": int(sys.argv[3])} if len(sys.argv) > 3 else {}))
net.initialize(mx.init.Xavier())
net(mx.nd.zeros((1, 3, 32, 32)))
net.save_parameters(sys.argv[2])
"""
CLASSIFY = """
import sys
from pathlib import Path
import strandline_contract as contract
from vision import backends
from vision.models import bundles, golden
bundle = bundles.load(Path(sys.argv[1]), contract.BundleRef(sys.argv[2], sys.argv[3]))
for name in ("openvino", "onnxruntime", "mxnet"):
    print(name, golden.check(backends.start(bundle, contract.Runtime(name, threads=1, batch_size=4)))[0])
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("zoo"), MODEL)


def make(folder: Path, model: str, classes: int | None = None) -> Path:
    path = folder / f"{model}.params"
    arguments = [model, str(path), *([str(classes)] if classes else [])]
    subprocess.run([sys.executable, "-c", MAKE, *arguments], check=True, env=environment())
    return path


def publish(folder: Path, model: str, weights: Path) -> None:
    """Put weights into a mirror's folder, which is laid out as the zoo's bucket is."""
    name = f"{model}-{sha1(weights)[:8]}"
    models = folder / "gluon/models"
    models.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(models / f"{name}.zip", "w") as archive:
        archive.write(weights, f"{name}.params")


@pytest.fixture
def mirror(tmp_path, weights):
    """Its address."""
    publish(tmp_path / "mirror", MODEL, weights)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path / "mirror")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()


def environment(**more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "MPLCONFIGDIR": "/tmp",
        "PYTHONPATH": str(PROJECT),
    } | more


def fetch(out: Path, repo: str, model: str = MODEL, digest: str = "") -> subprocess.CompletedProcess:
    arguments = [sys.executable, "-c", FETCH, model, digest, str(out)]
    return subprocess.run(arguments, env=environment(MXNET_GLUON_REPO=repo), capture_output=True, text=True)


def test_weights_of_a_mirror_become_a_bundle(mirror, weights, tmp_path):
    done = fetch(tmp_path / "out/bundle", mirror, digest=sha1(weights))
    assert done.returncode == 0, done.stderr
    version = done.stdout.splitlines()[-1]
    bundle = bundles.load(tmp_path / "out", contract.BundleRef("bundle", version))
    assert (bundle.network, len(bundle.classes), bundle.height) == (MODEL, 10, 32)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["bundle"]


def test_a_network_of_imagenet_becomes_a_bundle_for_every_backend(mirror, tmp_path):
    weights = make(tmp_path, "resnet18_v1b")
    publish(tmp_path / "mirror", "resnet18_v1b", weights)
    done = fetch(tmp_path / "out/bundle", mirror, "resnet18_v1b", sha1(weights))
    assert done.returncode == 0, done.stderr
    bundle = bundles.load(tmp_path / "out", contract.BundleRef("bundle", done.stdout.splitlines()[-1]))
    assert (len(bundle.classes), bundle.height) == (1000, 224)
    arguments = [sys.executable, "-c", CLASSIFY, str(tmp_path / "out"), "bundle", bundle.version]
    classified = subprocess.run(arguments, env=environment(OMP_NUM_THREADS="1"), capture_output=True, text=True)
    differences = dict(line.split() for line in classified.stdout.splitlines())
    assert differences.keys() == {"openvino", "onnxruntime", "mxnet"}, classified.stderr
    assert max(map(float, differences.values())) < 1e-4


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("resnet50_v1_int8", "take resnet50_v1"),
        ("ssd_512_resnet50_v1_voc", "no network ssd_512_resnet50_v1_voc that classifies images"),
        ("cifar_residualattentionnet56", "no weights"),
        ("se_resnet18_v1", "no pretrained model se_resnet18_v1"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_fetched(tmp_path, model, says):
    done = subprocess.run(
        [sys.executable, "-m", "vision.models.pretrained", model, "--out", str(tmp_path / "bundle")],
        env=environment(MXNET_GLUON_REPO="http://127.0.0.1:9/"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert says in done.stderr
    assert "MXNET_GLUON_REPO" not in done.stderr
    assert not (tmp_path / "bundle").exists()


def test_weights_of_another_hash_are_refused(mirror, weights, tmp_path):
    done = fetch(tmp_path / "bundle", mirror, digest=sha1(weights)[:8] + "0" * 32)
    assert done.returncode == 1
    assert "another SHA-1" in done.stderr
    assert not (tmp_path / "bundle").exists()


def test_offline_it_fails_with_one_sentence(tmp_path):
    done = fetch(tmp_path / "bundle", "http://127.0.0.1:9/", digest="0" * 40)
    assert done.returncode == 1
    assert "MXNET_GLUON_REPO" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_model_is_named(tmp_path):
    done = fetch(tmp_path / "bundle", "http://127.0.0.1:9/", model="resnet_of_dreams", digest="0" * 40)
    assert done.returncode == 1
    assert "resnet_of_dreams" in done.stderr


def own(tmp_path: Path, weights: Path, *more: str, classes: str = "avocet\nplover\n") -> subprocess.CompletedProcess:
    (tmp_path / "classes.txt").write_text(classes)
    arguments = ["resnet18_v1b", "--weights", str(weights), "--classes", str(tmp_path / "classes.txt"), *more]
    command = [sys.executable, "-m", "vision.models.pretrained", *arguments, "--out", str(tmp_path / "out/bundle")]
    return subprocess.run([*command, "--name", "birds"], env=environment(), capture_output=True, text=True)


def test_weights_of_ones_own_become_a_bundle_of_ones_own_classes(tmp_path):
    weights = make(tmp_path, "resnet18_v1b", classes=2)
    done = own(tmp_path, weights)
    assert done.returncode == 0, done.stderr
    bundle = bundles.load(tmp_path / "out", contract.BundleRef("bundle", done.stdout.splitlines()[-1]))
    assert (bundle.network, bundle.classes, bundle.height) == ("resnet18_v1b", ("avocet", "plover"), 224)
    (tmp_path / "own.json").write_text('{"height": 64, "width": 48, "mean": [0, 0, 0], "std": [1, 1, 1]}')
    done = own(tmp_path, weights, "--preprocessing", str(tmp_path / "own.json"))
    bundle = bundles.load(tmp_path / "out", contract.BundleRef("bundle", done.stdout.splitlines()[-1]))
    assert (bundle.height, bundle.width, bundle.mean) == (64, 48, (0, 0, 0))


def test_weights_of_something_else_are_refused(tmp_path, weights):
    done = own(tmp_path, weights)
    assert done.returncode == 1
    assert "does not hold weights of resnet18_v1b with 2 classes" in done.stderr
    missing = own(tmp_path, tmp_path / "none.params")
    assert "none.params is no file" in missing.stderr
    assert "Traceback" not in done.stderr + missing.stderr
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
