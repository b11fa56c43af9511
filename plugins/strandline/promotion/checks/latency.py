"""An image takes the challenger at most so many times as long as the champion: the median of rounds in which both run
one after the other, and the sign test's interval (Conover, 1999).
"""

from strandline.promotion import bounds
from strandline.promotion.check import Check, Evidence
from strandline.stats import paired

NAME = "latency"


def check(evidence: Evidence) -> Check:
    """The whole interval is at the bound or below."""
    validation, alpha, bound = evidence.validation, evidence.rules.alpha, evidence.rules.latency_ratio
    fewest = paired.fewest_rounds(alpha)
    if not validation.loaded or min(len(validation.champion_seconds), len(validation.challenger_seconds)) < fewest:
        return Check(NAME, "not enough evidence", f"Fewer than {fewest} rounds were timed: time more of them.")
    found = paired.ratio(validation.champion_seconds, validation.challenger_seconds, alpha)
    outcome = bounds.at_most(found, bound)
    again = " Try it again on a machine with less else to do." if outcome == "not enough evidence" else ""
    return Check(
        NAME,
        outcome,
        f"An image takes it {found.value:.2f} ({found.low:.2f} to {found.high:.2f}) times as long as the champion;"
        f" {bound:.2f} is allowed.{again}",
        found,
        bound,
        "below",
        "ratio",
    )
