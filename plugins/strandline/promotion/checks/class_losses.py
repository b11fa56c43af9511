"""The recall of every class of the holdout is at most a margin below the champion's: the score interval, and the score
test, of pairs (Tango, 1998).
"""

from strandline.promotion import bounds, words
from strandline.promotion.check import Check, Evidence, unanswered

NAME = "class losses"


def check(evidence: Evidence) -> Check:
    """No class that both models have is left that may lose more. A class without an image lacks evidence."""
    holdout, alpha, margin = evidence.holdout, evidence.rules.alpha, evidence.rules.class_margin
    if holdout is None:
        return unanswered(NAME, "holdout")
    overall = holdout.pairs().variance
    members = holdout.members(evidence.classes)
    pairs = {name: holdout.pairs(members[name]) for name in evidence.scope.shared}
    found = {name: of_class.interval(alpha) for name, of_class in pairs.items()}

    def needed(name: str) -> int | None:
        variance = pairs[name].variance if pairs[name].rows else overall
        return bounds.needed(pairs[name].rows, found[name], -margin, 0.0, variance, alpha)

    return bounds.every_class(
        NAME,
        f"No class may lose more than {words.points(margin)} of recall on the holdout",
        found,
        {name: of_class.p_below(-margin) for name, of_class in pairs.items()},
        -margin,
        lambda name, found: f"{name}, {words.difference(found)}" if pairs[name].rows else f"{name}, no image",
        needed,
        alpha,
    )
