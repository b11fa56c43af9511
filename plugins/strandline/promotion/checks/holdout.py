"""Accuracy on the holdout is at most a margin below the champion's: the score interval of pairs (Tango, 1998)."""

from strandline.promotion import bounds
from strandline.promotion.check import Check, Evidence, unanswered


def check(evidence: Evidence) -> Check:
    """The whole interval is at the margin or above."""
    if evidence.holdout is None:
        return unanswered("holdout", "holdout")
    pairs, rules = evidence.holdout.pairs(), evidence.rules
    return bounds.not_inferior("holdout", pairs, pairs.variance, rules.holdout_margin, rules.alpha)
