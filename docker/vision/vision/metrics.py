"""What labelled predictions say of a model: accuracy, recall by class, calibration.

Calibration error is the expected calibration error of Guo et al., "On Calibration of Modern Neural Networks" (2017),
with 15 bins of equal width; the interval is Wilson's score interval (1927).
"""

from typing import Any

import numpy as np

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
