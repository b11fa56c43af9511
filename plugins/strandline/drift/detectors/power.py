"""Power: how small a change a window of so many rows shows."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from scipy.special import chdtri, chndtrinc
from scipy.stats import betabinom

from strandline.drift.detectors.confusion import accuracy_of, recalls_of
from strandline.drift.detectors.sample import Integers
from strandline.stats.estimates import variance


@dataclass(frozen=True)
class Detectable:
    """Changes from this size on are found with a probability of 0.8 or more."""

    label_shift_distance: float
    accuracy_fall: float


def detectable(rows: int, reference_rows: int, confusion: Integers, alpha: float, power: float = 0.8) -> Detectable:
    """The changes that a window of so many rows shows with this power.

    Mix: from the noncentral chi-square, with effect w = sqrt(noncentrality * (1/n + 1/m)) (Cohen, "Statistical Power
    Analysis for the Behavioral Sciences", 1988, chapter 7). Predicted mixes at distance t have a w of 2 t or more
    (Cauchy-Schwarz), and confusion shrinks the distance of true mixes to no less than 1 / (1-norm of its inverse). So
    every change of this size is found; a smaller one, if it is of few classes. Accuracy: what the beta-binomial test of
    `performance` takes for chance, and the normal deviation of a fallen share (Fleiss, Levin, Paik, "Statistical
    Methods for Rates and Proportions", 2003, section 4.3).
    """
    pooled, freedom = 1 / (1 / rows + 1 / reference_rows), len(confusion) - 1
    effect = math.sqrt(chndtrinc(chdtri(freedom, alpha), freedom, 1 - power) / pooled)
    blur = float(np.linalg.norm(np.linalg.pinv(recalls_of(confusion).T), 1))
    accuracy = accuracy_of(confusion)
    right = float(np.clip(accuracy * reference_rows, 0.5, reference_rows - 0.5))
    by_chance = accuracy - float(betabinom.ppf(alpha, rows, right, reference_rows - right) - 1) / rows
    fallen = max(accuracy - by_chance, 0.5)  # a rough guess, for its variance
    fall = by_chance + NormalDist().inv_cdf(power) * math.sqrt(variance(fallen, pooled))
    return Detectable(label_shift_distance=min(effect / 2 * blur, 1.0), accuracy_fall=min(fall, 1.0))
