"""Measure a bundle on labelled images: accuracy, recall by class, calibration.

Calibration error is the expected calibration error of Guo et al., "On Calibration of Modern Neural Networks" (2017),
with 15 bins of equal width; the interval is Wilson's score interval (1927).
"""

import time
from typing import Any

import numpy as np
import pyarrow as pa

from vision import bundles, contract, shards
from vision.networks import Classifier
from vision.paths import Paths

BINS = 15
Z95 = 1.959963984540054


def run(request: contract.EvaluateRequest, paths: Paths) -> contract.Result:
    """Write metrics.json, and a prediction row for each labelled image.

    Raises:
        contract.BadInput: an input is not what the request says, or a label is not among the bundle's classes.
    """
    started = time.perf_counter()
    bundle = bundles.load(paths.store, request.bundle)
    ids, images, labels = shards.labelled_images(
        paths.store, request.shards, request.labels, bundle.height, bundle.width
    )
    if unknown := sorted(set(labels) - set(bundle.classes)):
        raise contract.BadInput(f"the labels have classes that the bundle does not: {', '.join(unknown)}")
    loaded = time.perf_counter()
    probabilities, embeddings = Classifier(bundle, request.device, request.threads, request.batch_size)(images)
    truth = np.array([bundle.classes.index(label) for label in labels])
    contract.write_json(paths.out / contract.METRICS_FILE, measure(probabilities, truth, bundle.classes))
    _write_predictions(paths, bundle, ids, probabilities, embeddings)
    return contract.write_result(
        paths.out,
        "evaluate",
        [contract.METRICS_FILE, contract.PREDICTIONS_FILE],
        counts={"images": len(ids)},
        seconds={"load": loaded - started, "evaluate": time.perf_counter() - loaded},
        versions=bundles.runtime_versions() | {"model": bundle.version},
        device=request.device,
    )


def measure(probabilities: np.ndarray, truth: np.ndarray, classes: tuple[str, ...]) -> dict[str, Any]:
    """Metrics of probabilities [n, classes] against class indices [n]; shares are 0..1."""
    predicted = probabilities.argmax(axis=1)
    confusion = np.zeros((len(classes), len(classes)), int)
    np.add.at(confusion, (truth, predicted), 1)
    right = int(np.trace(confusion))
    low, high = wilson(right, len(truth))
    per_class = confusion.sum(axis=1)
    return {
        "images": len(truth),
        "accuracy": right / len(truth),
        "accuracy_95": [low, high],
        "log_loss": float(-np.log(np.clip(probabilities[np.arange(len(truth)), truth], 1e-12, 1)).mean()),
        "calibration_error": calibration_error(probabilities.max(axis=1), predicted == truth),
        "recall": {c: confusion[i, i] / per_class[i] if per_class[i] else None for i, c in enumerate(classes)},
        "confusion": confusion.tolist(),  # rows: truth, columns: predicted
    }


def wilson(right: int, count: int) -> tuple[float, float]:
    """95 % interval of a share."""
    share, z2 = right / count, Z95**2
    centre = share + z2 / (2 * count)
    half = Z95 * np.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return float((centre - half) / (1 + z2 / count)), float((centre + half) / (1 + z2 / count))


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Mean distance of confidence and accuracy over bins, weighted by their images; 0 is perfect."""
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gap = np.bincount(bins, confidence, BINS) - np.bincount(bins, right, BINS)
    return float(np.abs(gap).sum() / len(confidence))


def _write_predictions(
    paths: Paths, bundle: bundles.Bundle, ids: list[str], probabilities: np.ndarray, embeddings: np.ndarray
) -> None:
    writer = shards.TableWriter(paths.out / contract.PREDICTIONS_FILE, contract.PREDICTION_COLUMNS)
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
    writer.close()
