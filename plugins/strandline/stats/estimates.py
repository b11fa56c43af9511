"""A number with its interval, and the exact ones of a share."""

from dataclasses import dataclass

from scipy.special import (
    bdtr,
    betaincinv,
)


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
