"""Find out whether this host can classify: what it has, whether its answers are right, and how fast they come."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

import strandline_contract as contract
from vision import hardware
from vision.models import bundles
from vision.paths import Paths

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
    found = hardware.cards() if request.device == "gpu" else [hardware.processor()]
    # After nvidia-smi has answered: without a driver, MXNet for CUDA cannot even be imported.
    from vision.models.networks import Classifier

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
    report = contract.PreflightReport(request.device, tuple(found), versions, speed, difference)
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


def _images_per_second(classifier: Callable[[np.ndarray], Any], images: np.ndarray) -> float:
    """Of a classifier that is warm."""
    started, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < MEASURED_SECONDS:
        classifier(images)
        count += len(images)
    return round(count / elapsed, 1)
