"""What labelled predictions say of a model: accuracy, recall by class, calibration.

Calibration error is the expected calibration error of Guo et al., "On Calibration of Modern Neural Networks" (2017),
with 15 bins of equal width; the interval is Wilson's score interval (1927). The gate has both again
(`strandline.stats`), because neither environment can import the other: one test, tests/contract/test_statistics.py,
is run in both.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

import strandline_contract as contract

BINS = 15
Z95 = 1.959963984540054


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


def class_indices(labels: Sequence[str], classes: tuple[str, ...]) -> np.ndarray:
    """The class of each label, int [n].

    Raises:
        contract.BadInput: a label is not among the classes.
    """
    if unknown := sorted(set(labels) - set(classes)):
        raise contract.BadInput(f"the labels have classes that the bundle does not: {', '.join(unknown)}")
    return np.array([classes.index(label) for label in labels])


def wilson(right: int, count: int) -> tuple[float, float]:
    """95 % interval of a share."""
    share, square = right / count, Z95**2 / count
    centre, half = share + square / 2, Z95 * math.sqrt((share * (1 - share) + square / 4) / count)
    return max((centre - half) / (1 + square), 0.0), min((centre + half) / (1 + square), 1.0)


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Mean distance of confidence and accuracy over bins, weighted by their images; 0 is perfect.

    A bin is (m - 1) / BINS < confidence <= m / BINS, by comparison: a product like `confidence * BINS` is rounded.
    """
    bins = np.searchsorted(np.arange(1, BINS) / BINS, confidence)
    gap = np.bincount(bins, confidence, BINS) - np.bincount(bins, right, BINS)
    return float(np.abs(gap).sum() / len(confidence))
