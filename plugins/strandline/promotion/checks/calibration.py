"""The calibration error on the holdout (Guo et al., 2017) rises by no more than a margin: a bootstrap of images
(Efron and Tibshirani, 1993).
"""

from strandline.promotion import bounds, words
from strandline.promotion.check import Check, Evidence, unanswered
from strandline.stats import calibration
from strandline.stats.estimates import Estimate

NAME = "calibration"


def check(evidence: Evidence) -> Check:
    """The whole interval of the rise is at the margin or below."""
    holdout, rules, margin = evidence.holdout, evidence.rules, evidence.rules.calibration_margin
    if holdout is None:
        return unanswered(NAME, "holdout")
    champion, challenger = (
        (answers.confidence, answers.predicted == holdout.truth) for answers in (holdout.champion, holdout.challenger)
    )
    found, variance = calibration.calibration_change(champion, challenger, rules.alpha, evidence.seed)
    outcome, fall = bounds.at_most(found, margin), Estimate(-found.value, -found.high, -found.low)
    needed = bounds.needed(len(holdout), fall, -margin, 0.0, variance, rules.alpha)
    return Check(
        NAME,
        outcome,
        f"Gap between confidence and accuracy on the holdout, against the champion: {words.difference(found)}. A rise"
        f" by up to {words.points(margin)} is allowed.{bounds.more(outcome, needed, 'holdout')}",
        found,
        margin,
        "below",
        "gap",
        "holdout",
        bounds.unless_settled(outcome, needed),
    )
