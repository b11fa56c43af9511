"""Accuracy on the holdout is at least the floor: the exact interval of a share (Clopper and Pearson, 1934)."""

from strandline.promotion import bounds, words
from strandline.promotion.check import Check, Evidence, unanswered
from strandline.stats import estimates

NAME = "accuracy floor"


def check(evidence: Evidence) -> Check:
    """The whole interval is at the floor or above."""
    own, holdout, rules = evidence.own, evidence.holdout, evidence.rules
    if own is None:
        return unanswered(NAME, "holdout")
    right, rows = int(own.right.sum()), len(own)
    found, variance = estimates.share(right, rows, rules.alpha), estimates.row_variance(right, rows)
    hoped = float((holdout.champion.predicted == holdout.truth).mean()) if holdout is not None else found.value
    outcome = bounds.at_least(found, rules.floor)
    needed = bounds.needed(rows, found, rules.floor, hoped, variance, rules.alpha)
    return Check(
        NAME,
        outcome,
        f"On {words.count(rows, 'holdout image')} it has {words.share(found)} right; it needs {rules.floor:.1%}."
        + bounds.more(outcome, needed, "holdout"),
        found,
        rules.floor,
        unit="share",
        measured_on="holdout",
        needed=bounds.unless_settled(outcome, needed),
    )
