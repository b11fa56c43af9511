"""p-values of permutation tests."""

from strandline.drift.detectors.sample import Floats

PERMUTATIONS = 1999  # the smallest p-value is 1 / (1 + this)


def p_value(statistics: Floats) -> float:
    """Of the first among all; a tie counts against it, also if rounding parts it."""
    return float((1 + (statistics[1:] >= statistics[0] * (1 - 1e-6)).sum()) / len(statistics))
