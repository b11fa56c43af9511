"""The calibration error on the holdout (Guo et al., 2017) is at most a bound: a bootstrap of images (Efron and
Tibshirani, 1993). What a first gate asks, which has no champion to compare it with.
"""

from strandline.promotion import bounds, words
from strandline.promotion.check import Check, Evidence, unanswered
from strandline.stats import calibration
from strandline.stats.estimates import Estimate

NAME = "calibration bound"


def check(evidence: Evidence) -> Check:
    """The whole interval is at the bound or below."""
    own, rules, bound = evidence.own, evidence.rules, evidence.rules.calibration_bound
    if own is None:
        return unanswered(NAME, "holdout")
    found, variance = calibration.calibration_interval(own.answers.confidence, own.right, rules.alpha, evidence.seed)
    outcome, fall = bounds.at_most(found, bound), Estimate(-found.value, -found.high, -found.low)
    needed = bounds.needed(len(own), fall, -bound, fall.value, variance, rules.alpha)
    return Check(
        NAME,
        outcome,
        f"Gap between confidence and accuracy on the holdout: {words.share(found)}. Up to {bound:.1%} is allowed."
        + bounds.more(outcome, needed, "holdout"),
        found,
        bound,
        "below",
        "share",
        "holdout",
        bounds.unless_settled(outcome, needed),
    )
