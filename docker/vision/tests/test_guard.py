"""What a network that crashes or hangs costs, with real processes and real signals."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import strandline_contract as contract
from strandline_contract.reasons import CRASHED, HUNG
from vision.models import bundles, guard
from vision.models.guard import Guard

PROJECT = Path(__file__).resolve().parents[1]
BUNDLE = PROJECT.parents[1] / "models" / "cifar_resnet20_v1"
BATCH = 32
MARK = (201, 7, 99)
RUNTIME = contract.Runtime("openvino", threads=1, batch_size=BATCH)


@pytest.fixture(scope="module")
def bundle() -> bundles.Bundle:
    version = contract.sha256_file(BUNDLE / contract.BUNDLE_MANIFEST)
    return bundles.load(BUNDLE.parent, contract.BundleRef(BUNDLE.name, version))


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", f"{PROJECT}:{PROJECT / 'tests'}")
    monkeypatch.setenv("POISON_MARK", ",".join(map(str, MARK)))
    monkeypatch.setenv("POISON_NETWORK", "light")
    monkeypatch.setenv("POISON_LOG", str(tmp_path / "asked"))
    monkeypatch.setattr(guard, "WORKER", (str(PROJECT / "tests" / "poisoned_worker.py"),))


@pytest.fixture
def classify(monkeypatch, bundle, tmp_path):
    """Classify images of which some are poison; failures, probabilities, and how often the network was asked."""

    def run(kind: str, images: np.ndarray) -> tuple[list[str], np.ndarray, int]:
        monkeypatch.setenv("POISON", kind)
        with Guard(RUNTIME) as guarded:
            guarded.start(bundle)
            probabilities, embeddings, failures = guarded(images)
        assert embeddings.shape == (len(images), 64)
        asked = [int(line) for line in (tmp_path / "asked").read_text().split()]
        return failures.tolist(), probabilities, sum(rows > 0 for rows in asked)

    return run


def made_images(count: int, poisoned: list[int]) -> np.ndarray:
    images = np.random.default_rng(count).integers(1, 256, (count, 32, 32, 3), np.uint8)
    images[:, 0, 0] = 1
    images[poisoned, 0, 0] = MARK
    return images


def budget(count: int) -> int:
    """Attempts: the first one, and 2 ceil(log2 n) + 2 further ones."""
    return 1 + 2 * math.ceil(math.log2(count)) + 2


@pytest.mark.parametrize(
    ("kind", "code", "count", "place"),
    [
        ("SIGSEGV", CRASHED, 100, 0),
        ("SIGSEGV", CRASHED, 64, BATCH),
        ("SIGABRT", CRASHED, 33, 32),
        ("SIGILL", CRASHED, 64, BATCH - 1),
        ("SIGBUS", CRASHED, 1, 0),
        ("SIGSEGV", CRASHED, 6000, 4242),
    ],
)
def test_a_poison_image_costs_one_outcome(classify, kind, code, count, place):
    failures, probabilities, asked = classify(kind, made_images(count, [place]))
    assert [number for number, failure in enumerate(failures) if failure] == [place]
    assert failures[place] == code
    np.testing.assert_allclose(np.delete(probabilities, place, axis=0).sum(axis=1), 1, atol=1e-5)
    assert asked <= budget(count)


@pytest.mark.parametrize("kind", ["hang", "spin"])
def test_an_image_that_hangs_the_network_costs_one_outcome(classify, monkeypatch, kind):
    monkeypatch.setattr(guard, "STALL_SECONDS", 2)
    monkeypatch.setattr(guard, "LEAST_CPU_SECONDS", 0.5)
    monkeypatch.setattr(guard, "SLOWEST", 2)
    failures, _, asked = classify(kind, made_images(8, [5]))
    assert failures == [HUNG if number == 5 else "" for number in range(8)]
    assert asked <= budget(8)


def test_the_real_network_answers_all_but_the_poison_image(classify, monkeypatch):
    """As the light one of the other tests, but for OpenVINO."""
    monkeypatch.setenv("POISON_NETWORK", "")
    images = made_images(4, [2])
    failures, probabilities, asked = classify("SIGSEGV", images)
    assert failures == ["", "", CRASHED, ""]
    clean, expected, _ = classify("SIGSEGV", np.delete(images, 2, axis=0))
    assert not any(clean)
    np.testing.assert_allclose(np.delete(probabilities, 2, axis=0), expected, atol=1e-6)
    assert asked <= budget(4)


def test_so_many_poison_images_are_so_many_failures_and_the_rest_is_as_without_them(classify):
    poisoned = [3, 4, 35]
    failures, probabilities, _ = classify("SIGSEGV", made_images(40, poisoned))
    assert [number for number, failure in enumerate(failures) if failure] == poisoned
    clean, expected, _ = classify("SIGSEGV", np.delete(made_images(40, poisoned), poisoned, axis=0))
    assert not any(clean)
    np.testing.assert_allclose(np.delete(probabilities, poisoned, axis=0), expected, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_a_network_that_crashes_by_chance_fails_no_image(classify, seed):
    failures, probabilities, _ = classify("chance", made_images(300 + seed, []))
    assert not any(failures)
    assert np.isfinite(probabilities).all()


def test_a_network_that_crashes_on_everything_is_not_the_images_fault(classify, monkeypatch):
    monkeypatch.setattr(guard, "FATAL_IMAGES", 2)
    with pytest.raises(RuntimeError, match="no fault of images"):
        classify("SIGSEGV", made_images(4, [0, 1, 2, 3]))


def test_a_network_that_runs_out_of_memory_fails_no_image_and_says_the_sizes_of_its_batches(monkeypatch, bundle):
    monkeypatch.setenv("POISON", "memory")
    images = made_images(100, [70])
    with Guard(RUNTIME) as guarded:
        guarded.start(bundle)
        assert guarded.versions["batch_size"] == "32"
        probabilities, _, failures = guarded(images)
        assert not any(failures)
        assert (guarded.versions["batch_size"], guarded.batch_size) == ("32, 16, 8", 8)
        again, _, _ = guarded(images[70:])
    np.testing.assert_allclose(again, probabilities[70:], atol=1e-6)


def test_a_process_after_one_that_died_begins_with_the_batch_that_fitted(monkeypatch, bundle):
    monkeypatch.setenv("POISON", "memory")
    images = made_images(20, [3])
    with Guard(RUNTIME) as guarded:
        guarded.start(bundle)
        guarded(images)
        guarded._process.send_signal(signal.SIGSEGV)
        guarded._process.wait()
        assert not any(guarded(images).failures)
        assert guarded.versions["batch_size"] == "8"


def test_a_network_that_somebody_kills_fails_no_image(classify):
    with pytest.raises(InterruptedError, match="SIGKILL"):
        classify("SIGKILL", made_images(4, [1]))


def test_a_killed_command_leaves_no_network_behind(monkeypatch, tmp_path):
    monkeypatch.setenv("POISON", "hang")
    program = f"""
import sys; sys.path.insert(0, {str(PROJECT / "tests")!r})
from test_guard import *
guard.WORKER = ({str(PROJECT / "tests" / "poisoned_worker.py")!r},)
ref = contract.BundleRef(BUNDLE.name, contract.sha256_file(BUNDLE / contract.BUNDLE_MANIFEST))
guarded = Guard(RUNTIME)
guarded.start(bundles.load(BUNDLE.parent, ref))
print(guarded._process.pid, flush=True)
guarded(made_images(2, [1]))
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        network = Path(f"/proc/{int(process.stdout.readline())}")
        assert network.exists()
        os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while network.exists() and " Z " not in (network / "stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
