"""How often the model is right: as labels show it (realized), or without them (estimated)."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.stats import betabinom

from strandline.drift.detectors.confusion import accuracy_of, recalls_of
from strandline.drift.detectors.sample import Floats, Integers
from strandline.stats import estimates
from strandline.stats.estimates import LEVEL, Estimate, row_variance, variance

TRANSFER_ERROR = 0.2  # standard error of an estimated fall as a share of the fall, as measured on changed images


@dataclass(frozen=True)
class Performance:
    """`expected` is the champion's on its test images, in the window's mix of classes; the p-value is of a fall below
    it. `labelled` rows have a label; 0 if accuracy is estimated without.
    """

    estimate: Estimate
    expected: float
    p_value: float
    labelled: int = 0

    @property
    def fall(self) -> float:
        return self.expected - self.estimate.value


def estimated(
    probabilities: Floats, reference: Floats, weights: Floats, shares: Floats, confusion: Integers
) -> Performance:
    """Without labels, from how many predictions the model is sure of.

    Sure is one with an entropy below a threshold, set so that of the reference as many are sure as the champion has
    right: average thresholded confidence (Garg et al., "Leveraging Unlabeled Data to Predict Out-of-Distribution
    Performance", ICLR 2022, arXiv:2201.04234). What is lost against the weighted reference, whose mix is the window's
    `shares`, is taken from the accuracy of that mix. Interval: normal approximation, with the effective number of
    weighted rows (Kish, "Survey Sampling", 1965). Nothing bounds the error on changed images (Garg et al., section 3):
    it allows for TRANSFER_ERROR. p-value: `lower_tail` of the number of sure rows.
    """
    accuracy, rows, scores = accuracy_of(confusion), len(probabilities), _certainty(reference)
    threshold = np.quantile(scores, 1 - accuracy)
    surely = int((_certainty(probabilities) >= threshold).sum())
    sure = surely / rows
    weights = np.maximum(weights, 1e-9)  # never all 0, also if the reference has nothing like the window
    usual = float(np.average(scores >= threshold, weights=weights))
    effective = weights.sum() ** 2 / np.square(weights).sum()
    expected = float(shares @ recalls_of(confusion).diagonal())
    value = min(max(expected - (usual - sure), 0.0), 1.0)
    sampling = variance(sure, rows) + variance(usual, effective) + variance(accuracy, confusion.sum())
    half = NormalDist().inv_cdf((1 + LEVEL) / 2) * math.hypot(math.sqrt(sampling), TRANSFER_ERROR * (usual - sure))
    p_value = lower_tail(surely, rows, usual, effective)
    return Performance(estimates.bounded(value, value - half, value + half), expected, p_value)


def realized(predicted: Integers, labels: Integers, confusion: Integers) -> Performance | None:
    """On the labelled rows, against the champion's recall of their classes; None if no row has a label.

    Interval: `estimates.wilson`. p-value: `lower_tail` of the number of right rows, beside as many test images as give
    a share the variance that the recalls have.
    """
    predicted, labels = predicted[labels >= 0], labels[labels >= 0]
    if not (rows := len(labels)):
        return None
    right = int((predicted == labels).sum())
    shares, recalls = np.bincount(labels, minlength=len(confusion)) / rows, recalls_of(confusion).diagonal()
    tests = int(confusion.sum())
    expected = float(shares @ recalls)
    spread = float((shares**2 * variance(recalls, confusion.sum(axis=1))).sum())
    estimate = Estimate(right / rows, *estimates.wilson(right, rows))
    p_value = lower_tail(right, rows, expected, row_variance(expected * tests, tests) / spread)
    return Performance(estimate, expected, p_value, rows)


def lower_tail(count: int, rows: int, share: float, of: float) -> float:
    """How likely `count` or fewer of so many rows are, if `share` was found of `of` others: beta-binomial (Skellam, "A
    Probability Distribution Derived from the Binomial Distribution", JRSS B 10, 1948).

    Its variance is that of both samples. A share near 1 has a long lower tail: at a level of 1 in 672, and 100 to 500
    rows of which 92 % are usual, a normal approximation alarms twice as often as it says, beside few test images over
    three times; this, at most 1.3 times.
    """
    found = min(max(share * of, 0.5), of - 0.5)  # the tail of a share of none, or of all, is not known
    return float(betabinom.cdf(count, rows, found, of - found))


def _certainty(probabilities: Floats) -> Floats:
    """Negative entropy [n]."""
    clipped = np.clip(probabilities, 1e-12, 1)
    certainty: Floats = (clipped * np.log(clipped)).sum(axis=1)
    return certainty
