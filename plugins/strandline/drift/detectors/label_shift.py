"""Label shift: whether the mix of true classes behind what was predicted changed."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from strandline.drift.detectors import permutation
from strandline.drift.detectors.confusion import accuracy_of, recalls_of
from strandline.drift.detectors.sample import Floats, Integers, Sample
from strandline.stats import calibration, estimates
from strandline.stats.estimates import LEVEL, Estimate

RESAMPLES = 400  # for the intervals of a mix
STEPS = 300  # of expectation maximisation, at the most
SETTLED = 1e-6  # the largest step of a share that is none any more


@dataclass(frozen=True)
class LabelShift:
    """Shares of the true classes, of the reference and as estimated of the window. `distance` is half the sum of their
    differences: the share of images that is of another class. The p-value is of what was predicted.
    """

    reference: tuple[float, ...]
    shares: tuple[Estimate, ...]
    distance: Estimate
    p_value: float


def detect(counts: Integers, reference_counts: Integers, confusion: Integers, seed: int = 0) -> LabelShift:
    """The mix of true classes behind predicted counts [classes], supposing that nothing else changed.

    Shares: black-box shift estimation (Lipton, Wang, Smola, "Detecting and Correcting for Label Shift with Black Box
    Predictors", ICML 2018, arXiv:1802.03916). Intervals: bootstrap of the window and of the rows of the confusion
    matrix, percentiles for shares; reflected for the distance, since noise adds to it (Davison and Hinkley, "Bootstrap
    Methods and their Application", 1997, section 5.2), and from 0 on if the test finds no change. p-value: Pearson's
    chi-square of both counts among random tables of the same margins, exact for any counts (Hope, "A Simplified Monte
    Carlo Significance Test Procedure", JRSS B 30, 1968).
    """
    rng = np.random.default_rng([seed, 1])
    totals, rows = confusion.sum(axis=1), counts.sum()
    reference = totals / totals.sum()
    shares = class_shares(counts / rows, confusion)
    windows = rng.multinomial(rows, counts / rows, RESAMPLES) / rows
    recalls = recalls_of(confusion)
    resampled = np.stack([class_shares(window, rng.multinomial(totals, recalls)) for window in windows])
    tails = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    distance = np.abs(shares - reference).sum() / 2
    near, far = np.quantile(np.abs(resampled - reference).sum(axis=1) / 2, tails)
    p_value = same_counts(counts, reference_counts, rng)
    return LabelShift(
        reference=tuple(reference.tolist()),
        shares=tuple(map(estimates.bounded, shares, *np.quantile(resampled, tails, axis=0))),
        distance=estimates.bounded(distance, 0 if p_value > 1 - LEVEL else 2 * distance - far, 2 * distance - near),
        p_value=p_value,
    )


def class_shares(predicted_shares: Floats, confusion: Integers) -> Floats:
    """Shares of true classes [classes] that best explain the predicted ones: least squares on the simplex, which is
    non-negative least squares with a heavy row for the sum (Lawson and Hanson, "Solving Least Squares Problems", 1974,
    chapter 23). For some tens of classes.
    """
    heavy = 1e3
    recalls = recalls_of(confusion)
    shares, _ = nnls(np.vstack([recalls.T, np.full(len(recalls), heavy)]), np.append(predicted_shares, heavy))
    normalised: Floats = shares / shares.sum()
    return normalised


def likeliest_shares(window: Sample, reference: Sample, confusion: Integers) -> Floats:
    """Shares of true classes [classes] under which the window's probabilities are the likeliest, supposing that nothing
    else changed: expectation maximisation (Saerens, Latinne, Decaestecker, "Adjusting the Outputs of a Classifier to
    New a Priori Probabilities", Neural Computation 14, 2002) at the temperature where the reference's are right on
    average (Alexandari, Kundaje, Shrikumar, "Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at
    Label Shift Adaptation", ICML 2020, arXiv:1901.06852). They err by about two thirds of what `class_shares` does, and
    not the way in which the window's confusions happened to fall; but nothing bounds the error of changed images.
    """
    usual: Floats = confusion.sum(axis=1) / confusion.sum()
    degrees = calibration.temperature(reference.probabilities, accuracy_of(confusion))
    probabilities = calibration.temper(window.probabilities, degrees)
    shares = usual
    for _ in range(STEPS):
        before, weighted = shares, probabilities * (shares / usual)
        shares = (weighted / weighted.sum(axis=1, keepdims=True)).mean(axis=0)
        if np.abs(shares - before).max() < SETTLED:
            break
    return shares


def shift_weights(reference: Sample, shares: Floats, confusion: Integers) -> Floats:
    """How much more often each reference row [n] comes in a window with these shares of true classes [classes].

    Under label shift, that is how much more often its true class comes: p'(y) / p(y). Where the true classes are not
    known, the model's probabilities stand for them: p'(x) / p(x) = sum over y of p'(y) / p(y) * p(y | x) (Saerens et
    al., as above), at the temperature where they are right on average.
    """
    ratios = shares * confusion.sum() / confusion.sum(axis=1)
    if reference.truth is None:
        probabilities = reference.probabilities
        degrees = calibration.temperature(probabilities, accuracy_of(confusion))
        weights: Floats = calibration.temper(probabilities, degrees) @ ratios
    else:
        weights = ratios[reference.truth]
    return weights


def same_counts(counts: Integers, others: Integers, rng: np.random.Generator) -> float:
    """The p-value of `detect`, of both counts [classes]."""
    pooled = (counts + others)[counts + others > 0]
    counts = counts[counts + others > 0]
    expected = pooled * (counts.sum() / pooled.sum())
    drawn = rng.multivariate_hypergeometric(pooled, counts.sum(), permutation.PERMUTATIONS, method="marginals")
    # Among tables of the same margins, chi-square is this sum over one row, times a constant.
    return permutation.p_value((np.square(np.vstack([counts, drawn]) - expected) / expected).sum(axis=1))
