"""Find out whether this host can classify: what it has, how many images fit at once, whether its answers are right,
and how fast they come.
"""

import time

import numpy as np

import strandline_contract as contract
from vision import backends, hardware
from vision.models import bundles, golden
from vision.paths import Paths

BATCHES = 4
MEASURED_SECONDS = 2.0


def run(request: contract.PreflightRequest, paths: Paths) -> contract.Result:
    """Write preflight.json.

    Raises:
        contract.BadInput: the bundle is not what the request says.
        RuntimeError: the host cannot do what is asked of it, or answers wrongly; the message says what to look at.
    """
    started = time.perf_counter()
    runtime = request.runtime
    found = hardware.cards() if runtime.device == "gpu" else [hardware.processor()]
    backends.load(runtime.backend)  # after nvidia-smi has answered: without a driver, some cannot even be imported
    imported = time.perf_counter()
    bundle = bundles.load(paths.store, request.bundle)
    verified = time.perf_counter()
    backend = backends.start(bundle, runtime)
    probabilities, _ = backend(golden.made_images(BATCHES * backend.batch_size, bundle.height, bundle.width))
    ready = time.perf_counter()
    if not np.isfinite(probabilities).all():
        raise RuntimeError(f"on this {runtime.device}, {bundle.network} gives probabilities that are no numbers")
    difference, _ = golden.check(backend)
    compared = time.perf_counter()
    images = golden.made_images(BATCHES * backend.batch_size, bundle.height, bundle.width)
    speed = _images_per_second(backend, images)
    versions = backend.versions | {"model": bundle.version}
    size = backend.batch_size
    report = contract.PreflightReport(runtime.device, tuple(found), versions, speed, size, difference)
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
        device=runtime.device,
    )


def _images_per_second(backend: backends.Backend, images: np.ndarray) -> float:
    """Of a backend that is warm."""
    started, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < MEASURED_SECONDS:
        backend(images)
        count += len(images)
    return round(count / elapsed, 1)
