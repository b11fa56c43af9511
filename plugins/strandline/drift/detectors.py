"""What changed between the champion's reference and a window of predictions: the mix of classes, the pictures, or how
well the model does on them. All of it from predictions and embeddings; labels are used where there are some.

Arrays: predicted class indices int [n]; probabilities float [n, classes]; embeddings float [k, features] of the first
k rows, which are in random order; confusion counts int [true class, predicted class] of the champion's test images.
Shares, accuracies and intervals are 0..1. What is random comes from a seed. Rows count as drawn independently: of
near-identical pictures, `near_duplicates` leaves one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.special import chdtri, chndtrinc
from scipy.stats import (
    binomtest,
    ks_2samp,
)

from strandline.stats.estimates import Estimate
from strandline.stats.multiplicity import holm

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]

TESTS = 4  # of a window: its mix, its pictures, its accuracy as estimated, and by labels once there are enough
PERMUTATIONS = 1999  # the smallest p-value is 1 / (1 + this)
RESAMPLES = 400  # for the intervals of a mix
COMPARED_ROWS = 1000  # of each side, where pictures are compared: bounds the time, and how small a change is noticed
LEVEL = 0.95  # of every interval
TRANSFER_ERROR = 0.2  # standard error of an estimated fall as a share of the fall, as measured on changed pictures


@dataclass(frozen=True)
class Sample:
    """Predictions of a window or of the reference, without those that failed.

    Raises:
        ValueError: the arrays do not fit each other, or hold what is not finite.
    """

    predicted: Integers
    probabilities: Floats
    embeddings: Floats

    def __post_init__(self) -> None:
        if (self.predicted.ndim, self.probabilities.ndim, self.embeddings.ndim) != (1, 2, 2):
            raise ValueError("a sample has classes [n], probabilities [n, classes] and embeddings [k, features]")
        if not len(self.predicted) == len(self.probabilities) >= len(self.embeddings):
            raise ValueError("a sample's classes, probabilities and embeddings are not of the same rows")
        if not (np.isfinite(self.probabilities).all() and np.isfinite(self.embeddings).all()):
            raise ValueError("a sample has values that are not finite: leave out the predictions that failed")
        if len(self.predicted) and not 0 <= self.predicted.min() <= self.predicted.max() < self.classes:
            raise ValueError("a sample has a class that its probabilities have no column for")

    def __len__(self) -> int:
        return len(self.predicted)

    @property
    def classes(self) -> int:
        return int(self.probabilities.shape[1])

    def counts(self) -> Integers:
        """How often each class was predicted, [classes]."""
        return np.bincount(self.predicted, minlength=self.classes)


@dataclass(frozen=True)
class Mix:
    """Shares of the true classes, of the reference and as estimated of the window. `distance` is half the sum of their
    differences: the share of images that is of another class. The p-value is of what was predicted.
    """

    reference: tuple[float, ...]
    shares: tuple[Estimate, ...]
    distance: Estimate
    p_value: float


@dataclass(frozen=True)
class Pictures:
    """`rows` of the window were drawn; `compared` of them met some of the `reference_rows` in their class. `distance`
    grows with the difference, from 0 to about 1, whatever the number of rows; it has no unit.
    """

    distance: float
    p_value: float
    rows: int
    compared: int
    reference_rows: int


@dataclass(frozen=True)
class Accuracy:
    """`expected` is the champion's on its test images, in the window's mix of classes; the p-value is of a fall below
    it. `labelled` rows have a label; 0 where accuracy is estimated without.
    """

    estimate: Estimate
    expected: float
    p_value: float
    labelled: int = 0

    @property
    def fall(self) -> float:
        return self.expected - self.estimate.value


@dataclass(frozen=True)
class Detectable:
    """Changes from this size on are found with a probability of 0.8 or more."""

    mix_distance: float
    accuracy_fall: float


@dataclass(frozen=True)
class Drift:
    """What was measured of a window. Each p-value is to be held against `alpha`. `duplicates` rows were left out, as
    near duplicates of the others.
    """

    rows: int
    alpha: float
    mix: Mix
    pictures: Pictures
    estimated: Accuracy
    realised: Accuracy | None
    detectable: Detectable
    duplicates: int = 0


def measure(
    window: Sample,
    reference: Sample,
    confusion: Integers,
    alpha: float,
    labels: Integers | None = None,
    seed: int = 0,
) -> Drift:
    """All there is to say about a window.

    Args:
        alpha: the level of each of the TESTS, as `alpha_per_window` gives it.
        labels: true class indices [n], -1 where unknown.

    Raises:
        ValueError: a side is empty, the sides are of different models, or alpha is too small for PERMUTATIONS.
    """
    if not (len(window) and len(reference)):
        raise ValueError("the window or the reference has no predictions: there is nothing to compare")
    if not window.classes == reference.classes == len(confusion) or (
        window.embeddings.shape[1] != reference.embeddings.shape[1]
    ):
        raise ValueError("window, reference and confusion matrix are not of the same model")
    if alpha * (1 + PERMUTATIONS) < 1:
        raise ValueError(f"alpha is {alpha:.2g}, below 1/{1 + PERMUTATIONS}: allow more false alarms, or fewer windows")

    mix = mix_change(window.counts(), reference.counts(), confusion, seed)
    shares = np.array([share.value for share in mix.shares])
    weights = shift_weights(reference.probabilities, shares, confusion)
    return Drift(
        rows=len(window),
        alpha=alpha,
        mix=mix,
        pictures=picture_change(window, reference, weights, seed),
        estimated=estimated_accuracy(window.probabilities, reference.probabilities, weights, shares, confusion),
        realised=None if labels is None else realised_accuracy(window.predicted, labels, confusion),
        detectable=detectable(len(window), len(reference), confusion, alpha),
    )


def mix_change(counts: Integers, reference_counts: Integers, confusion: Integers, seed: int = 0) -> Mix:
    """The mix of true classes behind predicted counts [classes], supposing that nothing else changed.

    Shares: black-box shift estimation (Lipton, Wang, Smola, "Detecting and Correcting for Label Shift with Black Box
    Predictors", ICML 2018, arXiv:1802.03916). Intervals: bootstrap of the window and of the rows of the confusion
    matrix, percentiles for shares; reflected for the distance, since noise adds to it (Davison and Hinkley, "Bootstrap
    Methods and their Application", 1997, section 5.2), and from 0 on where the test finds no change. p-value: Pearson's
    chi-square of both counts among random tables of the same margins, exact for any counts (Hope, "A Simplified Monte
    Carlo Significance Test Procedure", JRSS B 30, 1968).
    """
    rng = np.random.default_rng([seed, 1])
    totals, rows = confusion.sum(axis=1), counts.sum()
    reference = totals / totals.sum()
    shares = class_shares(counts / rows, confusion)
    windows = rng.multinomial(rows, counts / rows, RESAMPLES) / rows
    recalls = _recalls(confusion)
    resampled = np.stack([class_shares(window, rng.multinomial(totals, recalls)) for window in windows])
    tails = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    distance = np.abs(shares - reference).sum() / 2
    near, far = np.quantile(np.abs(resampled - reference).sum(axis=1) / 2, tails)
    p_value = _same_counts(counts, reference_counts, rng)
    return Mix(
        reference=tuple(reference.tolist()),
        shares=tuple(map(_share, shares, *np.quantile(resampled, tails, axis=0))),
        distance=_share(distance, 0 if p_value > 1 - LEVEL else 2 * distance - far, 2 * distance - near),
        p_value=p_value,
    )


def class_shares(predicted_shares: Floats, confusion: Integers) -> Floats:
    """Shares of true classes [classes] that best explain the predicted ones: least squares on the simplex, which is
    non-negative least squares with a heavy row for the sum (Lawson and Hanson, "Solving Least Squares Problems", 1974,
    chapter 23). For some tens of classes.
    """
    heavy = 1e3
    recalls = _recalls(confusion)
    shares, _ = nnls(np.vstack([recalls.T, np.full(len(recalls), heavy)]), np.append(predicted_shares, heavy))
    normalised: Floats = shares / shares.sum()
    return normalised


def _same_counts(counts: Integers, others: Integers, rng: np.random.Generator) -> float:
    pooled = (counts + others)[counts + others > 0]
    counts = counts[counts + others > 0]
    expected = pooled * (counts.sum() / pooled.sum())
    drawn = rng.multivariate_hypergeometric(pooled, counts.sum(), PERMUTATIONS, method="marginals")
    # Among tables of the same margins, chi-square is this sum over one row, times a constant.
    return _permutation_p((np.square(np.vstack([counts, drawn]) - expected) / expected).sum(axis=1))


def shift_weights(probabilities: Floats, shares: Floats, confusion: Integers) -> Floats:
    """How much more often each reference row [n] comes in a window with these shares of true classes [classes].

    The density ratio under label shift, p'(x) / p(x) = sum over y of p'(y) / p(y) * p(y | x) (Saerens, Latinne,
    Decaestecker, "Adjusting the Outputs of a Classifier to New a Priori Probabilities", Neural Computation 14, 2002),
    with probabilities at the temperature where they are right on average.
    """
    tempered = temper(probabilities, temperature(probabilities, _accuracy(confusion)))
    weights: Floats = tempered @ (shares * confusion.sum() / confusion.sum(axis=1))
    return np.maximum(weights, 1e-9)  # never all 0, also where the reference has nothing like the window


def picture_change(window: Sample, reference: Sample, weights: Floats, seed: int = 0) -> Pictures:
    """Whether pictures of the same class look different to the model, whatever the mix of classes.

    The statistic is the squared maximum mean discrepancy of embeddings, with a Gaussian kernel as wide as the median
    distance (Gretton et al., "A Kernel Two-Sample Test", JMLR 13, 2012), summed over predicted classes, scaled by their
    sizes so that all add a like amount of noise. Rows are permuted within predicted classes only, so that the number of
    rows in each has no say. The true classes behind a predicted one change with the mix, too: reference rows are
    thinned to the window's mix first, by `weights` [reference rows] of `shift_weights`. The p-value is (1 + b) / (1 +
    B), exact but for the error of the weights (Phipson and Smyth, "Permutation P-values Should Never Be Zero", 2010).
    The distance is the root of the mean discrepancy, less that of permuted rows: noise does not add to it. Of each side
    at most COMPARED_ROWS rows are drawn.
    """
    rng = np.random.default_rng([seed, 2])
    drawn = rng.permutation(len(window.embeddings))[:COMPARED_ROWS]
    groups = [np.flatnonzero(_embedded(reference) == one) for one in range(reference.classes)]
    kept = rng.permutation(np.concatenate([_thin(rows, weights[rows], rng) for rows in groups]))[:COMPARED_ROWS]
    statistics, compared, sizes = np.zeros(1 + PERMUTATIONS), 0, 0.0
    for one in range(reference.classes):
        ours = window.embeddings[drawn[window.predicted[drawn] == one]]
        theirs = reference.embeddings[kept[reference.predicted[kept] == one]]
        if len(ours) and len(theirs):
            size = len(ours) * len(theirs) / (len(ours) + len(theirs))
            statistics += size * _discrepancies(ours, theirs, rng)
            compared, sizes = compared + len(ours), sizes + size
    excess = max(float(statistics[0] - statistics[1:].mean()), 0.0)
    distance = math.sqrt(excess / sizes) if sizes else 0.0
    return Pictures(distance, _permutation_p(statistics), len(drawn), compared, len(kept))


def most_changed(window: Sample, reference: Sample, count: int) -> Integers:
    """Row numbers of the window's pictures that show best what changed, the first most of all.

    Those with the largest witness: the mean of the kernel over the window's pictures of the predicted class, less that
    over the reference's (Gretton et al., 2012, section 2.3). Of classes that both sides have.
    """
    witness = np.full(len(window.embeddings), -np.inf)
    for one in range(reference.classes):
        (ours,), (theirs,) = (np.nonzero(_embedded(side) == one) for side in (window, reference))
        if len(ours) and len(theirs):
            kernel = _kernel(np.concatenate([window.embeddings[ours], reference.embeddings[theirs]]))[: len(ours)]
            witness[ours] = kernel[:, : len(ours)].mean(axis=1) - kernel[:, len(ours) :].mean(axis=1)
    order: Integers = np.argsort(-witness, kind="stable")[:count]
    return order.compress(np.isfinite(witness[order]))


def _embedded(sample: Sample) -> Integers:
    """Predicted classes of the rows that have embeddings."""
    return sample.predicted[: len(sample.embeddings)]


def _thin(rows: Integers, weights: Floats, rng: np.random.Generator) -> Integers:
    """Keep each row with a probability in proportion to its weight: rejection sampling."""
    return rows.compress(rng.random(len(rows)) * weights.max(initial=0) < weights)


def _discrepancies(ours: Floats, theirs: Floats, rng: np.random.Generator) -> Floats:
    """Squared discrepancies [1 + permutations] of two groups, first as they are."""
    a, b = len(ours), len(theirs)
    kernel = _kernel(np.concatenate([ours, theirs]))
    sides = np.tile(np.repeat(np.array([1 / a, -1 / b], np.float32), [a, b]), (1 + PERMUTATIONS, 1))
    rng.permuted(sides[1:], axis=1, out=sides[1:])
    squared: Floats = np.maximum(((sides @ kernel) * sides).sum(axis=1), 0)
    return squared


def _kernel(rows: Floats) -> Floats:
    """Gaussian, as wide as the median distance, [n, n]."""
    rows = rows.astype(np.float32)
    squares = np.square(rows).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0)
    kernel: Floats = np.exp(-distances / max(float(np.median(distances[np.triu_indices(len(rows), 1)])), 1e-12))
    return kernel


def estimated_accuracy(
    probabilities: Floats, reference: Floats, weights: Floats, shares: Floats, confusion: Integers
) -> Accuracy:
    """Accuracy without labels, from how many predictions the model is sure of.

    Sure is one with an entropy below a threshold, set so that of the reference as many are sure as the champion has
    right: average thresholded confidence (Garg et al., "Leveraging Unlabeled Data to Predict Out-of-Distribution
    Performance", ICLR 2022, arXiv:2201.04234). What is lost against the weighted reference, whose mix is the window's
    `shares`, is taken from the accuracy of that mix. Normal approximation, with the effective number of weighted rows
    (Kish, "Survey Sampling", 1965). Nothing bounds the error on changed pictures (Garg et al., section 3): the interval
    allows for TRANSFER_ERROR.
    """
    accuracy, rows, scores = _accuracy(confusion), len(probabilities), _certainty(reference)
    threshold = np.quantile(scores, 1 - accuracy)
    sure = float((_certainty(probabilities) >= threshold).mean())
    usual = float(np.average(scores >= threshold, weights=weights))
    effective = weights.sum() ** 2 / np.square(weights).sum()
    expected = float(shares @ _recalls(confusion).diagonal())
    value = min(max(expected - (usual - sure), 0.0), 1.0)
    sampling = _variance(sure, rows) + _variance(usual, effective) + _variance(accuracy, confusion.sum())
    half = _quantile((1 + LEVEL) / 2) * math.hypot(math.sqrt(sampling), TRANSFER_ERROR * (usual - sure))
    z = (usual - sure) / math.sqrt(_variance(usual, rows) + _variance(usual, effective))
    return Accuracy(_share(value, value - half, value + half), expected, _upper_tail(z))


def realised_accuracy(predicted: Integers, labels: Integers, confusion: Integers) -> Accuracy | None:
    """Accuracy on the labelled rows, against the champion's recall of their classes; None where no row has a label.

    Interval: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 22 (1927). p-value:
    score test of a share, with the variance of the recalls added.
    """
    predicted, labels = predicted[labels >= 0], labels[labels >= 0]
    if not (rows := len(labels)):
        return None
    right = int((predicted == labels).sum())
    interval = binomtest(right, rows).proportion_ci(LEVEL, "wilson")
    shares, recalls = np.bincount(labels, minlength=len(confusion)) / rows, _recalls(confusion).diagonal()
    expected = float(shares @ recalls)
    variance = _variance(expected, rows) + (shares**2 * _variance(recalls, confusion.sum(axis=1))).sum()
    estimate = Estimate(right / rows, float(interval.low), float(interval.high))
    return Accuracy(estimate, expected, _upper_tail((expected - right / rows) / math.sqrt(variance)), rows)


def detectable(rows: int, reference_rows: int, confusion: Integers, alpha: float, power: float = 0.8) -> Detectable:
    """The changes that a window of so many rows shows with this power.

    Mix: from the noncentral chi-square, with effect w = sqrt(noncentrality * (1/n + 1/m)) (Cohen, "Statistical Power
    Analysis for the Behavioral Sciences", 1988, chapter 7). Predicted mixes at distance t have a w of 2 t or more
    (Cauchy-Schwarz), and confusion shrinks the distance of true mixes to no less than 1 / (1-norm of its inverse). So
    every change of this size is found; a smaller one, if it is of few classes. Accuracy: one-sided score test of two
    shares (Fleiss, Levin, Paik, "Statistical Methods for Rates and Proportions", 2003, section 4.3).
    """
    pooled, freedom = 1 / (1 / rows + 1 / reference_rows), len(confusion) - 1
    effect = math.sqrt(chndtrinc(chdtri(freedom, alpha), freedom, 1 - power) / pooled)
    blur = float(np.linalg.norm(np.linalg.pinv(_recalls(confusion).T), 1))
    accuracy = _accuracy(confusion)
    by_chance = _quantile(1 - alpha) * math.sqrt(_variance(accuracy, pooled))
    fallen = max(accuracy - 2 * by_chance, 0.5)  # a rough guess, for its variance
    fall = by_chance + _quantile(power) * math.sqrt(_variance(fallen, pooled))
    return Detectable(mix_distance=min(effect / 2 * blur, 1.0), accuracy_fall=min(fall, 1.0))


def column_changes(window: Mapping[str, Floats], reference: Mapping[str, Floats]) -> dict[str, float]:
    """p-values of columns [n] that both sides have, adjusted by `holm`: the two-sample test of Kolmogorov and Smirnov
    (Hodges, "The Significance Probability of the Smirnov Two-Sample Test", Arkiv för Matematik 3, 1958). Values that
    are not finite are passed over, and a column without any.
    """
    p_values = {}
    for name in window.keys() & reference.keys():
        ours, theirs = (side[name].compress(np.isfinite(side[name])) for side in (window, reference))
        if len(ours) and len(theirs):
            p_values[name] = float(ks_2samp(ours, theirs, method="asymp").pvalue)
    return holm(p_values)


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


def _recalls(confusion: Integers) -> Floats:
    """Shares of predicted classes in each true one, [true, predicted].

    Raises:
        ValueError: a class has no test image.
    """
    totals = confusion.sum(axis=1, keepdims=True)
    if confusion.shape != (len(confusion), len(confusion)) or not totals.all():
        raise ValueError("the confusion matrix must be square, with test images of every class")
    recalls: Floats = confusion / totals
    return recalls


def _certainty(probabilities: Floats) -> Floats:
    """Negative entropy [n]."""
    clipped = np.clip(probabilities, 1e-12, 1)
    certainty: Floats = (clipped * np.log(clipped)).sum(axis=1)
    return certainty


def _accuracy(confusion: Integers) -> float:
    return float(confusion.trace() / confusion.sum())


def _variance(share: Any, rows: Any) -> Any:
    """Of a share of rows; like Agresti and Coull's (1998), it is never 0."""
    centred = (share * rows + 2) / (rows + 4)
    return centred * (1 - centred) / rows


def _quantile(probability: float) -> float:
    return NormalDist().inv_cdf(probability)


def _upper_tail(z: float) -> float:
    return NormalDist().cdf(-z)


def _permutation_p(statistics: Floats) -> float:
    """Of the first among all; a tie counts against it, also where rounding parts it."""
    return float((1 + (statistics[1:] >= statistics[0] * (1 - 1e-6)).sum()) / len(statistics))


def _share(value: float, low: float, high: float) -> Estimate:
    """Its interval is inside 0..1 and holds the value."""
    return Estimate(float(value), float(min(max(low, 0), value)), float(max(min(high, 1), value)))
