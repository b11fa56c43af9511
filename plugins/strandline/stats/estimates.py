"""A number with its interval, and those of a share."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from scipy.special import (
    bdtr,
    betaincinv,
)

LEVEL = 0.95  # of an interval that says nothing else


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


def share(hits: int, rows: int, alpha: float) -> Estimate:
    """A share and its exact interval (Clopper and Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the
    Case of the Binomial", Biometrika 26, 1934).
    """
    low = float(betaincinv(hits, rows - hits + 1, alpha)) if hits else 0.0
    high = float(betaincinv(hits + 1, rows - hits, 1 - alpha)) if hits < rows else 1.0
    return Estimate(hits / rows if rows else 0.0, low, high)


def p_below(hits: int, rows: int, bound: float) -> float:
    """p-value for the true share being below the bound: the exact binomial test."""
    return float(bdtr(hits, rows, bound)) if rows else 1.0


def wilson(hits: float, rows: float) -> tuple[float, float]:
    """The score interval of a share at LEVEL, which stays within 0..1 and holds for few rows (Wilson, "Probable
    Inference, the Law of Succession, and Statistical Inference", JASA 22, 1927).

    The vision environment and the ledger (`reporting.wilson`) cannot import it and have it again: all three are tested
    on the numbers in tests/contract/statistics.json.

    Raises:
        ValueError: there are no rows, or more hits than rows.
    """
    if not 0 <= hits <= rows or rows == 0:
        raise ValueError(f"{hits} of {rows} is no share")
    share, z = hits / rows, NormalDist().inv_cdf((1 + LEVEL) / 2)
    square = z * z / rows
    centre, half = share + square / 2, z * math.sqrt((share * (1 - share) + square / 4) / rows)
    found = bounded(share, (centre - half) / (1 + square), (centre + half) / (1 + square))
    return found.low, found.high


def bounded(value: float, low: float, high: float) -> Estimate:
    """A share, with its interval kept inside 0..1 and around it."""
    return Estimate(float(value), float(min(max(low, 0), value)), float(max(min(high, 1), value)))


def row_variance(hits: Any, rows: Any) -> Any:
    """Of one row with so many hits among the rows; like Agresti and Coull's (1998), it is never 0."""
    centred = (hits + 2) / (rows + 4)
    return centred * (1 - centred)


def variance(share: Any, rows: Any) -> Any:
    """Of a share of rows, never 0 either."""
    return row_variance(share * rows, rows) / rows
