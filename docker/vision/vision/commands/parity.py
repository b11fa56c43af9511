"""Compare what runtimes answer with what a reference does, on a bundle's golden images and on labelled images.

Each runtime has a process of its own, one after the other: none sees another's libraries, or slows another down.
"""

import time
from dataclasses import dataclass

import numpy as np

import strandline_contract as contract
from vision import hardware, shards
from vision.models import bundles, golden, metrics
from vision.models.guard import Guard
from vision.paths import Paths


def run(request: contract.ParityRequest, paths: Paths) -> contract.Result:
    """Write parity.json. A runtime that is not there, or cannot compute the bundle, is an answer; a reference that
    cannot is an error.

    Raises:
        contract.BadInput: an input is not what the request says, a label is not among the bundle's classes, or the
            reference has no answer to an image.
        RuntimeError: the reference is not there, or does not say what the bundle says of its golden images.
    """
    started = time.perf_counter()
    bundle = bundles.load(paths.store, request.bundle)
    ids, images, labels = shards.labelled_images(paths.store, request.shards, request.labels, bundle.resize_rule())
    truth = metrics.class_indices(labels, bundle.classes)
    loaded = time.perf_counter()
    reference = _Answers.of(request.reference, bundle, images, check=True)
    if unanswered := int((reference.labels < 0).sum()):
        raise contract.BadInput(f"{request.reference}, the reference, has no answer to {unanswered:,} of the images")
    found = tuple(_compare(runtime, bundle, images, truth, reference) for runtime in request.runtimes)
    report = contract.ParityReport(request.reference, reference.rate, hardware.processor(), found)
    contract.write_json(paths.out / contract.PARITY_FILE, report.to_dict())
    return contract.write_result(
        paths.out,
        "parity",
        [contract.PARITY_FILE],
        counts={
            "images": len(ids),
            "runtimes": len(found),
            "compared": sum(one.agreement is not None for one in found),
        },
        seconds=paths.startup | {"load": loaded - started, "measure": time.perf_counter() - loaded},
        versions=reference.versions | {"model": bundle.version},
        device=request.runtimes[0].device,
    )


@dataclass(frozen=True)
class _Answers:
    """Of a runtime to all images: probabilities [n, classes], label indices [n], -1 for an image without an answer; how
    far golden images are off, or None; images per second.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    golden_difference: float | None
    rate: float
    versions: dict[str, str]

    @classmethod
    def of(cls, runtime: contract.Runtime, bundle: bundles.Bundle, images: np.ndarray, check: bool) -> "_Answers":
        """
        Args:
            check: refuse what golden images refuse, as for every process that is to classify.

        Raises:
            contract.ContractError: the bundle has no network for this runtime.
            RuntimeError: the runtime is not there, or its process ended.
        """
        with Guard(runtime) as guard:
            guard.start(bundle, check)
            golden_difference = _golden_difference(guard, bundle)
            began = time.perf_counter()
            probabilities, _, _ = guard(images)  # of an image that ended the process, they are no numbers
            rate = len(images) / (time.perf_counter() - began)
            versions = guard.versions
        answered = np.isfinite(probabilities).all(axis=1)
        labels = np.where(answered, np.nan_to_num(probabilities).argmax(axis=1), -1)
        return cls(probabilities, labels, golden_difference, round(rate, 1), versions)


def _golden_difference(guard: Guard, bundle: bundles.Bundle) -> float | None:
    path = bundle.folder / contract.GOLDEN_FILE
    if not path.is_file():
        return None
    images, expected = golden.read(path, bundle)
    return _largest_difference(guard(images).probabilities, expected)


def _largest_difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Of a probability; 1 if one is no number."""
    return float(np.nan_to_num(np.abs(found - expected), nan=1.0, posinf=1.0).max())


def _compare(
    runtime: contract.Runtime, bundle: bundles.Bundle, images: np.ndarray, truth: np.ndarray, reference: _Answers
) -> contract.RuntimeParity:
    try:
        found = _Answers.of(runtime, bundle, images, check=False)
    except (contract.ContractError, RuntimeError) as error:
        return contract.RuntimeParity(runtime, None, str(error) or type(error).__name__)
    right, reference_right = found.labels == truth, reference.labels == truth
    agreement = contract.Agreement(
        images=len(images),
        equal_labels=int((found.labels == reference.labels).sum()),
        both_right=int((right & reference_right).sum()),
        reference_right=int((reference_right & ~right).sum()),
        runtime_right=int((right & ~reference_right).sum()),
        none_right=int((~right & ~reference_right).sum()),
        largest_difference=_largest_difference(found.probabilities, reference.probabilities),
        golden_difference=found.golden_difference,
        images_per_second=found.rate,
        versions=found.versions,
    )
    return contract.RuntimeParity(runtime, agreement)
