"""Measure a bundle on labelled images."""

import time

import numpy as np
import pyarrow as pa

import strandline_contract as contract
from vision import shards
from vision.models import bundles, metrics
from vision.models.guard import Guard
from vision.paths import Paths


def run(request: contract.EvaluateRequest, paths: Paths) -> contract.Result:
    """Write metrics.json, and a prediction row for each labelled image.

    Raises:
        contract.BadInput: an input is not what the request says, a label is not among the bundle's classes, or the
            network crashes or hangs on an image.
    """
    started = time.perf_counter()
    with Guard(request.runtime) as guard:
        bundle = bundles.load(paths.store, request.bundle)
        ids, images, labels = shards.labelled_images(paths.store, request.shards, request.labels, bundle.resize_rule())
        if unknown := sorted(set(labels) - set(bundle.classes)):
            raise contract.BadInput(f"the labels have classes that the bundle does not: {', '.join(unknown)}")
        loaded = time.perf_counter()
        found = guard.start(bundle)
        probabilities, embeddings, failures = guard(images)
    if failed := [f"{image} ({failure})" for image, failure in zip(ids, failures, strict=True) if failure]:
        raise contract.BadInput(f"version {bundle.version} cannot be measured: it fails on image {', '.join(failed)}")
    truth = np.array([bundle.classes.index(label) for label in labels])
    contract.write_json(paths.out / contract.METRICS_FILE, metrics.measure(probabilities, truth, bundle.classes))
    _write_predictions(paths, bundle, ids, probabilities, embeddings)
    return contract.write_result(
        paths.out,
        "evaluate",
        [contract.METRICS_FILE, contract.PREDICTIONS_FILE],
        counts={"images": len(ids)},
        seconds={"load": loaded - started, "evaluate": time.perf_counter() - loaded},
        versions=found["versions"] | {"model": bundle.version},
        device=request.runtime.device,
    )


def _write_predictions(
    paths: Paths, bundle: bundles.Bundle, ids: list[str], probabilities: np.ndarray, embeddings: np.ndarray
) -> None:
    with shards.TableWriter(paths.out / contract.PREDICTIONS_FILE, contract.PREDICTION_COLUMNS) as writer:
        writer.write(
            {
                "image_id": ids,
                "label": np.array(bundle.classes)[probabilities.argmax(axis=1)],
                "confidence": probabilities.max(axis=1),
                "probabilities": list(probabilities),
                "embedding": list(embeddings),
                "failure": pa.nulls(len(ids), pa.string()),
            }
        )
