"""The recall of every class of the holdout is at least the floor: exact intervals (Clopper and Pearson, 1934), and
the exact binomial test of each.
"""

from strandline.promotion import bounds, words
from strandline.promotion.check import Check, Evidence, unanswered
from strandline.promotion.comparison import LabelledSet
from strandline.stats import estimates

NAME = "class floors"


def check(evidence: Evidence) -> Check:
    """All classes of the challenger are shown to have it. A class without an image lacks evidence."""
    classes, own, holdout, alpha = evidence.scope.challenger, evidence.own, evidence.holdout, evidence.rules.alpha
    if own is None:
        return unanswered(NAME, "holdout")
    floor, place = evidence.rules.class_floor, {name: index for index, name in enumerate(evidence.classes)}
    rows = {name: int((own.truth == place[name]).sum()) for name in classes}
    right = {name: int(own.right[own.truth == place[name]].sum()) for name in classes}
    found = {name: estimates.share(right[name], rows[name], alpha) for name in classes}

    def needed(name: str) -> int | None:
        hoped = _recall(holdout, place[name]) if rows[name] else 1.0
        hoped = found[name].value if hoped is None else hoped
        variance = estimates.row_variance(right[name], rows[name])
        return bounds.needed(rows[name], found[name], floor, hoped, variance, alpha)

    return bounds.every_class(
        NAME,
        f"Each class needs a recall of {floor:.0%} on the holdout",
        found,
        {name: estimates.p_below(right[name], rows[name], floor) for name in classes},
        floor,
        lambda name, found: f"{name}, {words.share(found)}" if rows[name] else f"{name}, no image",
        needed,
        alpha,
        "share",
    )


def _recall(holdout: LabelledSet | None, index: int) -> float | None:
    """The champion's, of a class; None if it was asked about no image of it."""
    if holdout is None or not (members := holdout.truth == index).any():
        return None
    return float((holdout.champion.predicted[members] == index).mean())
