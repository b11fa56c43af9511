"""Find out whether this host can classify: what it has, whether its answers are right, and how fast they come."""

import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import strandline_contract as contract
from vision import bundles
from vision.paths import Paths

NVIDIA_SMI = ("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
VECTORS = ("amx_tile", "avx512_vnni", "avx512f", "avx2", "avx", "sse4_1")  # the widest first, as Linux calls them
PATIENCE = 60  # seconds for nvidia-smi; a card that is stuck answers never
BATCHES = 4
MEASURED_SECONDS = 2.0
TOLERANCE = 1e-3  # between probabilities of the GPU and of the CPU


def run(request: contract.PreflightRequest, paths: Paths) -> contract.Result:
    """Write preflight.json.

    Raises:
        contract.BadInput: the bundle is not what the request says.
        RuntimeError: the host cannot do what is asked of it, or answers wrongly; the message says what to look at.
    """
    started = time.perf_counter()
    hardware = cards() if request.device == "gpu" else [processor()]
    # After nvidia-smi has answered: without a driver, MXNet for CUDA cannot even be imported.
    from vision.networks import Classifier

    imported = time.perf_counter()
    bundle = bundles.load(paths.store, request.bundle)
    verified = time.perf_counter()
    classifier = Classifier(bundle, request.device, request.threads, request.batch_size)
    ready = time.perf_counter()
    images = made_images(BATCHES * request.batch_size, bundle.height, bundle.width)
    probabilities, _ = classifier(images)
    if not np.isfinite(probabilities).all():
        raise RuntimeError(f"on the {request.device}, {bundle.network} gives probabilities that are no numbers")
    difference = None
    if request.device == "gpu":
        reference, _ = Classifier(bundle, "cpu", request.threads, request.batch_size)(images)
        difference = largest_difference(probabilities, reference)
    compared = time.perf_counter()
    speed = _images_per_second(classifier, images)
    versions = bundles.runtime_versions() | {"model": bundle.version}
    report = contract.PreflightReport(request.device, tuple(hardware), versions, speed, difference)
    contract.write_json(paths.out / contract.PREFLIGHT_FILE, report.to_dict())
    seconds = {
        "libraries": imported - started,
        "verify": verified - imported,
        "first_batch": ready - verified,
        "compare": compared - ready,
        "measure": time.perf_counter() - compared,
    }
    return contract.write_result(
        paths.out,
        "preflight",
        [contract.PREFLIGHT_FILE],
        counts={"images": len(images)},
        seconds=paths.startup | seconds,
        versions=versions,
        device=classifier.device,
    )


def cards() -> list[str]:
    """A line a card, as nvidia-smi prints it: name, driver, memory.

    Raises:
        RuntimeError: nvidia-smi is missing, fails, or lists none.
    """
    try:
        done = subprocess.run(NVIDIA_SMI, capture_output=True, text=True, timeout=PATIENCE)
    except FileNotFoundError as error:
        raise RuntimeError(
            "the request asks for a GPU and there is no nvidia-smi: NVIDIA's container toolkit puts it into a container"
            " that is given a GPU, the driver onto a host"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"nvidia-smi did not answer in {PATIENCE} s: look at the host's driver (dmesg)") from error
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    if done.returncode or not lines:
        said = " ".join((done.stdout + done.stderr).split()) or "nothing"
        raise RuntimeError(f"nvidia-smi ended with {done.returncode} and said: {said}; fix the host's driver")
    return lines


def made_images(count: int, height: int, width: int) -> np.ndarray:
    """uint8 [n, h, w, 3]: the same coloured tiles every time."""
    tiles = np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return tiles.repeat(-(-height // 4), axis=1).repeat(-(-width // 4), axis=2)[:, :height, :width]


def largest_difference(ours: np.ndarray, reference: np.ndarray) -> float:
    """
    Raises:
        RuntimeError: it is larger than rounding explains.
    """
    difference = float(np.abs(ours - reference).max())
    if not difference <= TOLERANCE:  # nor is it a number
        raise RuntimeError(
            f"the GPU's probabilities differ from the CPU's by {difference:.2g}, more than the {TOLERANCE:g} that"
            " rounding explains: do not classify on this host"
        )
    return difference


def processor() -> str:
    """The processor and its widest vectors: by these, its libraries choose how they compute, and so how they round."""
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    facts = {name.strip(): value.strip() for name, _, value in reversed(lines)}
    flags = facts.get("flags", "").split()
    widest = next((flag for flag in VECTORS if flag in flags), None)
    return facts.get("model name", platform.machine()) + (f" ({widest})" if widest else "")


def _images_per_second(classifier: Callable[[np.ndarray], Any], images: np.ndarray) -> float:
    """Of a classifier that is warm."""
    started, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < MEASURED_SECONDS:
        classifier(images)
        count += len(images)
    return round(count / elapsed, 1)
