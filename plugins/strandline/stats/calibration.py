"""Whether a model is right as often as it says that it is.

Every interval is two-sided: each of its limits errs with a probability of alpha.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strandline.stats.estimates import Estimate

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

BINS = 15  # of confidence, for a calibration error
RESAMPLES = 400


@dataclass(frozen=True)
class Bin:
    """Predictions of like confidence: how sure the model is on average, and how often right."""

    rows: int
    confidence: float
    accuracy: float


def reliability(confidence: Floats, right: Bools, bins: int = BINS) -> tuple[Bin, ...]:
    """Confidence [n] against accuracy, in bins of the same width; those without a row are left out."""
    which = _bins(confidence, bins)
    rows, sure, hits = (np.bincount(which, weights, bins) for weights in (None, confidence, right))
    return tuple(Bin(int(n), float(c / n), float(h / n)) for n, c, h in zip(rows, sure, hits, strict=True) if n)


def calibration_error(confidence: Floats, right: Bools) -> float:
    """Expected calibration error: the mean gap of confidence and accuracy (Guo, Pleiss, Sun, Weinberger, "On
    Calibration of Modern Neural Networks", ICML 2017, arXiv:1706.04599). Of no rows it is 0.

    The vision environment cannot import it and has it again: it writes the error into a bundle's metrics.json, and
    people compare that number with the gate's. Both are tested by tests/contract/test_statistics.py.
    """
    bins = reliability(confidence, right)
    return sum(bin_.rows * abs(bin_.confidence - bin_.accuracy) for bin_ in bins) / max(len(confidence), 1)


def calibration_change(
    champion: tuple[Floats, Bools], challenger: tuple[Floats, Bools], alpha: float, seed: int = 0
) -> tuple[Estimate, float]:
    """Calibration error of the challenger less that of the champion, and its variance on one row. Each side is
    confidence [n] and who is right [n].

    Bootstrap of images, so that both sides keep their pairs, and its percentiles (Efron and Tibshirani, "An
    Introduction to the Bootstrap", 1993, chapter 13). Noise adds to a calibration error, and more of it to one near 0:
    a loss against a champion that is calibrated nearly perfectly comes out too small.
    """
    sides = [(_bins(confidence, BINS), confidence - right) for confidence, right in (champion, challenger)]

    def change(weights: Any) -> float:
        before, after = (np.abs(np.bincount(bins, weights * gaps)).sum() for bins, gaps in sides)
        return float(after - before)

    return _bootstrap(change, len(champion[0]), alpha, seed)


def calibration_interval(confidence: Floats, right: Bools, alpha: float, seed: int = 0) -> tuple[Estimate, float]:
    """Calibration error, and its variance on one row; as `calibration_change`, of one model alone. Noise adds to it, so
    on few rows it comes out too large.
    """
    bins, gaps = _bins(confidence, BINS), confidence - right
    return _bootstrap(lambda weights: float(np.abs(np.bincount(bins, weights * gaps)).sum()), len(gaps), alpha, seed)


def _bootstrap(total: Callable[[Any], float], rows: int, alpha: float, seed: int) -> tuple[Estimate, float]:
    """A mean over rows, with its interval and its variance on one; `total` is its sum, by how often each row counts."""
    rng = np.random.default_rng([seed, 2])
    value = total(np.ones(rows)) / rows
    weights = (np.bincount(rng.integers(rows, size=rows), minlength=rows) for _ in range(RESAMPLES))
    drawn = [total(one) / rows for one in weights]
    low, high = np.quantile(drawn, (alpha, 1 - alpha)).tolist()
    return Estimate(value, min(low, value), max(high, value)), float(rows * np.var(drawn))


def _bins(confidence: Floats, bins: int) -> NDArray[np.integer[Any]]:
    """Number m - 1 of the bin with (m - 1) / bins < confidence <= m / bins, as Guo et al. cut them; the first has 0.

    Confidences do lie on edges: a network that is sure says 1.0, and coarse probabilities say 0.2 or 0.8. Compared with
    the edges themselves, since a product like `confidence * bins` is rounded, differently for 32 and 64 bits.
    """
    which: NDArray[np.integer[Any]] = np.searchsorted(np.arange(1, bins) / bins, confidence)
    return which


def temperature(probabilities: Floats, accuracy: float) -> float:
    """The temperature from 1/20 to 20 at which mean confidence is the accuracy, or is nearest to it. Takes no labels.

    Clarté, Loureiro, Krzakala, Zdeborová, "Expectation consistency for calibration of neural networks" (UAI 2023,
    arXiv:2303.02644), by bisection, since confidence falls with temperature.
    """
    low, high = -math.log(20), math.log(20)
    for _ in range(30):
        middle = (low + high) / 2
        if temper(probabilities, math.exp(middle)).max(axis=1).mean() > accuracy:
            low = middle
        else:
            high = middle
    return math.exp(high)


def temper(probabilities: Floats, degrees: float) -> Floats:
    """Probabilities at another temperature (Guo et al., "On Calibration of Modern Neural Networks", 2017)."""
    logits = np.log(np.clip(probabilities, 1e-12, 1)) / degrees
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    tempered: Floats = powers / powers.sum(axis=1, keepdims=True)
    return tempered
