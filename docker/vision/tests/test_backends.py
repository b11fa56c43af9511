"""How many images a backend computes at once, and what it does if they do not fit into memory."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import strandline_contract as contract
from vision import backends
from vision.backends.backend import OUT_OF_MEMORY, Backend, suitable_batch
from vision.models import bundles

PROJECT = Path(__file__).resolve().parents[1]
BUNDLE = PROJECT.parents[1] / "models" / "cifar_resnet20_v1"
TOO_MANY = 2**14  # images: what the first layer gives takes 1 GB


@pytest.fixture(scope="module")
def bundle() -> bundles.Bundle:
    version = contract.sha256_file(BUNDLE / contract.BUNDLE_MANIFEST)
    return bundles.load(BUNDLE.parent, contract.BundleRef(BUNDLE.name, version))


@pytest.mark.parametrize(
    ("device", "side", "images"),
    [("cpu", 32, 64), ("cpu", 224, 4), ("cpu", 10_000, 1), ("gpu", 32, 2048), ("gpu", 224, 256)],
)
def test_a_batch_has_as_many_images_as_suit_the_device(device, side, images):
    assert suitable_batch(device, side * side) == images


def test_larger_images_come_in_smaller_batches():
    sides = (32, 64, 128, 224, 299, 331)
    for device in ("cpu", "gpu"):
        sizes = [suitable_batch(device, side * side) for side in sides]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] > sizes[-1] >= 1


def test_without_a_size_the_batch_is_chosen_and_said(bundle):
    backend = backends.start(bundle, contract.Runtime("openvino", threads=1))
    assert backend.versions["batch_size"] == "64"
    assert backends.start(bundle, contract.Runtime("openvino", threads=1, batch_size=3)).versions["batch_size"] == "3"


@pytest.mark.parametrize("size", [0, -1])
def test_a_batch_of_no_image_is_refused(size):
    with pytest.raises(contract.BadRequest, match="at least one"):
        contract.Runtime("openvino", threads=1, batch_size=size)


SCARCE = """
import json, re, resource, sys
from pathlib import Path
import strandline_contract as contract
from vision import backends
from vision.models import bundles, golden

name, folder, version, size = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
bundle = bundles.load(folder.parent, contract.BundleRef(folder.name, version))
runtime = contract.Runtime(name, threads=1, batch_size=16)
images = golden.made_images(100, bundle.height, bundle.width)
expected, _ = backends.start(bundle, runtime)(images)
taken = 1024 * int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
resource.setrlimit(resource.RLIMIT_AS, (taken + 1500 * 2**20,) * 2)
backend = backends.start(bundle, contract.Runtime(name, threads=1, batch_size=size))
found, _ = backend(images)
print(json.dumps([backend.batch_size, float(abs(found - expected).max())]))
"""


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])  # MXNet ends its process, if a CPU has no memory
def test_a_batch_that_does_not_fit_into_memory_is_halved_until_it_does(bundle, name):
    """In a process of little memory, whose libraries really get none."""
    arguments = [sys.executable, "-c", SCARCE, name, bundle.folder, bundle.version, str(TOO_MANY)]
    environment = {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(arguments, capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    size, difference = json.loads(done.stdout)
    assert size in {TOO_MANY >> halved for halved in range(1, 14)}
    assert difference < 1e-5
    halvings = re.findall(r"(\d+) images at once do not fit, on with (\d+)", done.stderr)
    assert [int(one) for one, _ in halvings] == [TOO_MANY >> n for n in range(len(halvings))]
    assert halvings[-1][1] == str(size)


class Greedy(Backend):
    """Takes memory that no machine has, for each image of a batch beyond `fits`."""

    fits = 0
    libraries: dict[str, str] = {}  # noqa: RUF012 - a property of the others

    def _load(self) -> None:
        pass

    def _submit(self, images: np.ndarray) -> np.ndarray:
        np.empty(2**50 * max(0, len(images) - self.fits), np.uint8)
        return images.reshape(len(images), -1)[:, :10].astype(np.float32)

    def _answers(self, submitted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return submitted, submitted


def test_if_one_image_does_not_fit_it_is_said_in_a_sentence(bundle):
    backend = Greedy(bundle, contract.Runtime("openvino", threads=1))
    with pytest.raises(RuntimeError, match=r"one image alone does not fit: .* more STRANDLINE_TASK_MEMORY_BYTES"):
        backend(np.zeros((3, 32, 32, 3), np.uint8))
    backend = Greedy(bundle, contract.Runtime("onnxruntime", threads=1, device="gpu"))
    with pytest.raises(RuntimeError, match="a card with more memory"):
        backend(np.zeros((3, 32, 32, 3), np.uint8))


def test_no_image_is_lost_or_answered_twice_where_a_batch_is_halved(bundle):
    class Later(Greedy):
        """Gets less memory from its third batch on, while the second is under way."""

        fits, batches_left = 64, 2

        def _submit(self, images: np.ndarray) -> np.ndarray:
            self.batches_left -= 1
            if self.batches_left < 0:
                self.fits = 5
            return super()._submit(images)

    images = np.random.default_rng(0).integers(0, 256, (333, 32, 32, 3), np.uint8)
    backend = Later(bundle, contract.Runtime("openvino", threads=1, batch_size=64))
    probabilities, _ = backend(images)
    np.testing.assert_array_equal(probabilities, images.reshape(333, -1)[:, :10])
    assert backend.batch_size == 4


def test_another_error_of_a_backend_is_no_lack_of_memory(bundle):
    class Broken(Greedy):
        def _submit(self, images: np.ndarray) -> np.ndarray:
            raise ValueError("shapes do not match")

    backend = Broken(bundle, contract.Runtime("openvino", threads=1, batch_size=64))
    with pytest.raises(ValueError, match="shapes do not match"):
        backend(np.zeros((3, 32, 32, 3), np.uint8))
    assert backend.batch_size == 64


# Word for word, of reports by those who have seen them on cards.
SAID = (
    "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. Name:'conv'"
    " Status Message: /onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:376 void*"
    " onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*, bool,"
    " onnxruntime::WaitNotificationFn) Failed to allocate memory for requested buffer of size 4585490524",
    "CUDA failure 2: out of memory ; GPU=0 ; hostname=host ; expr=cudaMalloc((void**)&p, size);",
    "CUDA error cudaErrorMemoryAllocation:out of memory",
    "CUDA_ERROR_OUT_OF_MEMORY",
    "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0 ; hostname=host ; expr=cublasCreate(&cublas_handle_);",
    "CUDNN failure 4003: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED ; GPU=0",
    "CUDNN failure 2: CUDNN_STATUS_ALLOC_FAILED ; GPU=0",
    "[15:28:02] src/storage/./pooled_storage_manager.h:161: cudaMalloc retry failed: out of memory",
    "src/storage/./pooled_storage_manager.h:157: cudaMalloc failed: out of memory",
    "src/storage/./cpu_device_storage.h:73: Failed to allocate CPU Memory",
)


@pytest.mark.parametrize("said", SAID)
def test_what_libraries_say_of_memory_is_known(said):
    assert OUT_OF_MEMORY.search(said)


@pytest.mark.parametrize("said", ["CUDNN_STATUS_NOT_SUPPORTED", "CUDA failure 999: unknown error", "shapes differ"])
def test_what_is_no_lack_of_memory_is_not_taken_for_one(said):
    assert not OUT_OF_MEMORY.search(said)
