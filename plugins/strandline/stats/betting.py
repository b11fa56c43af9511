"""Tests of a mean that may be looked at again after every row: how often does not matter, nor when one stops.

One bets on each value, at fair odds if the mean is at the bound, and begins with 1. Whatever is bet, the capital is
ever 1/alpha with a probability of at most alpha while the mean is not on the side that is bet on (Ville, Étude critique
de la notion de collectif, 1939); so its inverse is a p-value at any time. For bounded values: Waudby-Smith and Ramdas,
"Estimating Means of Bounded Random Variables by Betting" (Journal of the Royal Statistical Society B 86, 2024).

Rows count as drawn independently, and in the order in which they came.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Floats = NDArray[np.floating[Any]]

STAKES = np.geomspace(0.02, 0.98, 12)  # of the largest that cannot lose all: the capital is shared among them


def p_below(values: Floats, bound: float) -> float:
    """p-value for the true mean being below the bound, of values [n] of -1 to 1.

    Raises:
        ValueError: a value or the bound is not within that.
    """
    if not -1 < bound < 1 or (len(values) and not (np.abs(values) <= 1).all()):
        raise ValueError("values have to be -1 to 1, and the bound between these")
    stakes = STAKES / (1 - bound)
    capitals = np.log1p(np.multiply.outer(stakes, bound - values)).sum(axis=1)
    capital = float(logsumexp(capitals)) - math.log(len(stakes))
    return math.exp(-max(capital, 0.0))


def p_above(values: Floats, bound: float) -> float:
    """p-value for the true mean being above the bound."""
    return p_below(-values, -bound)
