"""Measure a bundle on labelled images."""

import time
from typing import Any

import numpy as np
import pyarrow as pa

import strandline_contract as contract
from vision import shards
from vision.models import bundles, corruptions, metrics
from vision.models.guard import Guard, Part
from vision.paths import Paths


def run(request: contract.EvaluateRequest, paths: Paths) -> contract.Result:
    """Write metrics.json, and a prediction row for each labelled image as it is.

    Raises:
        contract.BadInput: an input is not what the request says, a label is not among the bundle's classes, or the
            network crashes or hangs on an image.
    """
    started = time.perf_counter()
    with Guard(request.runtime) as guard:
        bundle = bundles.load(paths.store, request.bundle)
        ids, images, labels = shards.labelled_images(paths.store, request.shards, request.labels, bundle.resize_rule())
        truth = metrics.class_indices(labels, bundle.classes)
        loaded = time.perf_counter()
        guard.start(bundle)
        answers = guard(images)
        chosen = np.sort(np.random.default_rng(0).permutation(len(ids))[: request.corrupted_images])
        robustness = _robustness(guard, images[chosen], truth[chosen])
    if failed := [f"{image} ({failure})" for image, failure in zip(ids, answers.failures, strict=True) if failure]:
        raise contract.BadInput(f"version {bundle.version} cannot be measured: it fails on image {', '.join(failed)}")
    measured = metrics.measure(answers.probabilities, truth, bundle.classes)
    contract.write_json(paths.out / contract.METRICS_FILE, measured | robustness)
    _write_predictions(paths, bundle, ids, answers)
    return contract.write_result(
        paths.out,
        "evaluate",
        [contract.METRICS_FILE, contract.PREDICTIONS_FILE],
        counts={"images": len(ids)},
        seconds={"load": loaded - started, "evaluate": time.perf_counter() - loaded},
        versions=guard.versions | {"model": bundle.version},
        device=request.runtime.device,
    )


def _robustness(guard: Guard, images: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Of the same images, as they are and changed in each way; an image without an answer has a wrong one."""
    if not len(images):
        return {}
    changes = {"as they are": lambda image: image} | corruptions.MEASURED
    accuracy = {}
    for name, change in changes.items():
        answers = guard(np.stack([change(image) for image in images]))
        right = (answers.failures == "") & (answers.probabilities.argmax(axis=1) == truth)
        accuracy[name] = int(right.sum()) / len(images)
    return {"robustness": {"images": len(images), "accuracy": accuracy}}


def _write_predictions(paths: Paths, bundle: bundles.Bundle, ids: list[str], answers: Part) -> None:
    probabilities = answers.probabilities
    with shards.TableWriter(paths.out / contract.PREDICTIONS_FILE, contract.PREDICTION_COLUMNS) as writer:
        writer.write(
            {
                "image_id": ids,
                "label": np.array(bundle.classes)[probabilities.argmax(axis=1)],
                "confidence": probabilities.max(axis=1),
                "probabilities": list(probabilities),
                "embedding": list(answers.embeddings),
                "failure": pa.nulls(len(ids), pa.string()),
            }
        )
