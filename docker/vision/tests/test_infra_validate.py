"""The infra validation of a challenger, as a process, on networks with random weights."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import strandline_contract as contract
from vision.models import bundles

PROJECT = Path(__file__).resolve().parents[1]
NETWORKS = {"first": "cifar_resnet20_v1", "second": "cifar_resnet20_v1", "slow": "cifar_resnet110_v1"}
SIDE = {"first": 32, "second": 24, "slow": 32}


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """Bundles of random weights, and one of weights that are no numbers."""
    folder = tmp_path_factory.mktemp("store")
    for name, network in NETWORKS.items():
        make_bundle(folder / name, network, SIDE[name])
    make_bundle(folder / "broken", "cifar_resnet20_v1", 32, weights="nan")
    return folder


def make_bundle(folder: Path, network: str, side: int, weights: str = "random") -> None:
    folder.mkdir()
    preprocessing = contract.Preprocessing(side, side, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
    bundles.write_settings(folder, ("a", "b"), preprocessing)
    script = f"""
import pathlib, sys, mxnet as mx
from vision.models import export, networks, trained
folder = pathlib.Path(sys.argv[1])
net = networks.build({network!r}, ("a", "b"))
net.initialize(mx.init.MSRAPrelu("out", 0) if {weights == "random"} else mx.init.Constant(float("nan")))
net(mx.nd.zeros((1, 3, {side}, {side})))
if {weights == "random"}:
    trained.write_network(folder, net, {network!r}, 1)
else:  # a bundle with golden images is refused for them
    export.write(net, {side}, {side}, folder / {contract.GRAPH_FILE!r})
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        env=environment(folder) | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    bundles.seal(folder, folder.name, network)


def environment(home: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home.parent),
        "MPLCONFIGDIR": str(home.parent),
        "PYTHONPATH": str(PROJECT),
        "STRANDLINE_STORE": str(home.parent),
        "STRANDLINE_LANDING": str(home.parent),
    }


def ref(store: Path, name: str) -> contract.BundleRef:
    return contract.BundleRef(name, contract.sha256_file(store / name / contract.BUNDLE_MANIFEST))


def run(store: Path, out: Path, challenger: contract.BundleRef, champion: str = "first", expect: int = 0) -> str:
    runtime = contract.Runtime("openvino", threads=1, batch_size=32)
    request = contract.InfraValidateRequest("aa", ref(store, champion), challenger, rounds=4, runtime=runtime)
    (out / "request.json").write_text(json.dumps(request.to_dict()))
    command = [sys.executable, "-m", "vision", "infra_validate", "--request", str(out / "request.json")]
    done = subprocess.run(command, env=environment(store / champion), capture_output=True, text=True)
    assert done.returncode == expect, done.stderr
    return done.stderr


def report(out: Path) -> contract.InfraValidationReport:
    assert set(contract.read_result(out, "infra_validate").files) == {"infra_validation.json"}
    return contract.InfraValidationReport.from_dict(json.loads((out / "infra_validation.json").read_bytes()))


@pytest.mark.parametrize("challenger", ["first", "second"])
def test_both_are_timed_in_every_round(store, tmp_path, challenger):
    run(store, tmp_path, ref(store, challenger))
    found = report(tmp_path)
    assert (found.loaded, found.detail, found.device) == (True, "", "cpu")
    assert len(found.champion_seconds) == len(found.challenger_seconds) == 4
    assert min(found.champion_seconds + found.challenger_seconds) > 0


def test_a_slower_challenger_is_seen(store, tmp_path):
    run(store, tmp_path, ref(store, "slow"))
    found = report(tmp_path)
    assert min(found.challenger_seconds) > 1.5 * min(found.champion_seconds)  # what else this machine does only adds


def test_a_challenger_that_answers_no_numbers_is_told(store, tmp_path):
    run(store, tmp_path, ref(store, "broken"))
    found = report(tmp_path)
    assert (found.loaded, found.champion_seconds, found.challenger_seconds) == (False, (), ())
    assert "no numbers" in found.detail


@pytest.mark.parametrize(
    ("challenger", "says"),
    [
        (contract.BundleRef("gone", "00"), "not a model bundle"),
        (contract.BundleRef("second", "00"), "the request asks for"),
    ],
)
def test_a_challenger_that_is_not_what_it_should_be_is_told(store, tmp_path, challenger, says):
    run(store, tmp_path, challenger)
    assert not report(tmp_path).loaded
    assert says in report(tmp_path).detail


def test_a_champion_that_does_not_load_is_an_error(store, tmp_path):
    bad = store / "altered-copy"
    bad.mkdir()
    for path in (store / "first").iterdir():
        (bad / path.name).write_bytes(path.read_bytes() + (b"x" if path.name == "weights.params" else b""))
    errors = run(store, tmp_path, ref(store, "first"), "altered-copy", contract.EXIT_BAD_INPUT)
    assert "not what the bundle's manifest says" in errors
