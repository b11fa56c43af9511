"""Statistics of two models that answered the same images: which is right more often, by how much, and how many labels
it takes to know. Every interval is two-sided: each of its limits errs with a probability of alpha.

Rows count as drawn independently: many copies of one image make intervals too narrow.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import bdtr

from strandline.stats.estimates import Estimate

Floats = NDArray[np.floating[Any]]
Bools = NDArray[np.bool_]

POWER = 0.8
MOST_LABELS = 1_000_000  # more are as good as none


@dataclass(frozen=True)
class Pairs:
    """Images counted by who is right: `gained` only the challenger, `lost` only the champion, the rest both or none."""

    rows: int
    gained: int
    lost: int

    @classmethod
    def of(cls, champion: Bools, challenger: Bools) -> "Pairs":
        """Of who is right on each image."""
        return cls(len(champion), int((challenger & ~champion).sum()), int((champion & ~challenger).sum()))

    @property
    def difference(self) -> float:
        """Accuracy of the challenger less that of the champion."""
        return (self.gained - self.lost) / self.rows if self.rows else 0.0

    @property
    def variance(self) -> float:
        """Of the difference on one image where both are as good: the share of images where one alone is right. Never 0:
        one image is added to each count (Bonett and Price, "Adjusted Wald Confidence Interval for a Difference of
        Binomial Proportions Based on Paired Data", Journal of Educational and Behavioral Statistics 37, 2012).
        """
        return (self.gained + self.lost + 2) / (self.rows + 2)

    def z(self, difference: float) -> float:
        """How far the observed difference is above this one, in standard errors: the score test of Tango,
        "Equivalence Test and Confidence Interval for the Difference in Proportions for the Paired-Sample Design"
        (Statistics in Medicine 17, 1998).
        """
        rows, gained, lost = self.rows, self.gained, self.lost
        linear = gained + lost - (2 * rows - gained + lost) * difference
        root = math.sqrt(max(linear**2 + 8 * rows * lost * difference * (1 - difference), 0.0))
        losing = (linear + root) / (4 * rows)  # the likeliest share of `lost` if this is the difference
        variance = rows * (2 * losing + difference * (1 - difference))
        above = gained - lost - rows * difference
        return above / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, above) if above else 0.0

    def interval(self, alpha: float) -> Estimate:
        """Of the difference: all that the score test does not reject. Recommended by Fagerland, Lydersen, Laake,
        "Recommended Tests and Confidence Intervals for Paired Binomial Proportions" (Statistics in Medicine 33, 2014).
        """
        if not self.rows:
            return Estimate(0.0, -1.0, 1.0)
        quantile, value = NormalDist().inv_cdf(1 - alpha), self.difference
        low = brentq(lambda at: self.z(at) - quantile, -1, value) if value > -1 else -1.0
        high = brentq(lambda at: self.z(at) + quantile, value, 1) if value < 1 else 1.0
        return Estimate(value, low, high)

    def p_below(self, difference: float) -> float:
        """p-value for the true difference being below this one, by the score test."""
        return NormalDist().cdf(self.z(difference)) if self.rows else 1.0

    def p_different(self) -> float:
        """p-value for one being better: McNemar's test, exact and conditional ("Note on the Sampling Error of the
        Difference between Correlated Proportions or Percentages", Psychometrika 12, 1947). Not the mid-p: that one has
        more power, but does not guarantee its level.
        """
        return min(float(2 * bdtr(min(self.gained, self.lost), self.gained + self.lost, 0.5)), 1.0)


def more_labels(rows: int, value: float, bound: float, truth: float, variance: float, alpha: float) -> int | None:
    """How many more labels lift the lower limit to the bound with a probability of POWER, after a mean of `value` on
    the first rows, if the true mean is `truth`. None if that is not above the bound, or hardly.

    Conditional power (Lachin, "A Review of Methods for Futility Stopping Based on Conditional Power", Statistics in
    Medicine 24, 2005). The distance to the bound is convex in the number, and negative at 0: it has one zero.

    Args:
        variance: of one row.
    """
    if truth <= bound:
        return None
    normal = NormalDist()

    def enough(more: int) -> bool:
        ahead = rows * (value - bound) + more * (truth - bound)
        noise = normal.inv_cdf(1 - alpha) * math.sqrt(rows + more) + normal.inv_cdf(POWER) * math.sqrt(more)
        return ahead >= math.sqrt(variance) * noise

    few, many = 0, 1
    while not enough(many):
        few, many = many, 2 * many
        if few > MOST_LABELS:
            return None
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return many


def ratio(champion: Floats, challenger: Floats, alpha: float) -> Estimate:
    """Seconds of the challenger for one of the champion's, of rounds [r] in which both ran one after the other: the
    median, with the sign test's interval from order statistics (Conover, Practical Nonparametric Statistics, 3rd
    edition, 1999, 3.2). What else runs on a host slows single rounds several times over: that moves a mean.

    Raises:
        ValueError: the rounds of the two differ in number, or are fewer than the interval takes, or a time is not
            above 0.
    """
    rounds = len(champion)
    if champion.shape != challenger.shape or rounds < fewest_rounds(alpha):
        raise ValueError(f"to compare speed takes the same rounds of both models, {fewest_rounds(alpha)} at least")
    if not (np.minimum(champion, challenger) > 0).all():
        raise ValueError("a round took no time: measure more images a round")
    ratios = np.sort(challenger / champion)
    outside = int(np.count_nonzero(bdtr(np.arange(rounds), rounds, 0.5) <= alpha)) - 1
    return Estimate(float(np.median(ratios)), float(ratios[outside]), float(ratios[-1 - outside]))


def fewest_rounds(alpha: float) -> int:
    """How many it takes for an interval of a median: of fewer, all may lie on one side of it by chance."""
    return math.ceil(math.log2(1 / alpha))
