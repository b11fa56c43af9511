"""How the sentences of checks write numbers, so that people who know no statistics understand them."""

from collections.abc import Sequence

import numpy as np

from strandline.stats.estimates import Estimate

LISTED = 5  # classes or slices that a sentence names


def share(found: Estimate) -> str:
    """With its interval."""
    return f"{found.value:.1%} ({100 * found.low:.1f} to {found.high:.1%})"


def difference(found: Estimate) -> str:
    """In points, with its interval."""
    return f"{_signed(found.value)} points ({_signed(found.low)} to {_signed(found.high)})"


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def points(share: float) -> str:
    """Without a sign."""
    return f"{100 * share:.1f} points"


def count(number: int, noun: str) -> str:
    """One of it, or many."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def decimal(value: float) -> str:
    """A small number without an exponent, to its first digit."""
    return np.format_float_positional(value, precision=1, fractional=False, trim="-")


def how_often(probability: float) -> str:
    """A probability in words: of it, people who know no statistics have an idea as well."""
    if probability < 0.001:
        return "less than once in 1,000 times"
    if probability < 0.15:
        return f"about once in {1 / probability:,.0f} times"
    return "every time" if probability > 0.95 else f"about {10 * probability:.0f} times in 10"


def listed(parts: Sequence[str]) -> str:
    """The first LISTED of them, and how many more there are."""
    more = [f"and {len(parts) - LISTED:,} more"] if len(parts) > LISTED else []
    return "; ".join([*parts[:LISTED], *more])
