"""The recall of every class of the holdout is at least the floor: exact intervals (Clopper and Pearson, 1934), and
the exact binomial test of each.
"""

from strandline.promotion import bounds, words
from strandline.promotion.check import Check, Evidence, unanswered
from strandline.stats import estimates

NAME = "class floors"


def check(evidence: Evidence) -> Check:
    """All classes are shown to have it. A class without an image lacks evidence."""
    classes, holdout, alpha = evidence.classes, evidence.holdout, evidence.rules.alpha
    if holdout is None:
        return unanswered(NAME, "holdout")
    floor, members = evidence.rules.class_floor, holdout.members(classes)
    rows = {name: int(mask.sum()) for name, mask in members.items()}
    right, champion = (
        {name: int((side.predicted == holdout.truth)[mask].sum()) for name, mask in members.items()}
        for side in (holdout.challenger, holdout.champion)
    )
    found = {name: estimates.share(right[name], rows[name], alpha) for name in classes}

    def needed(name: str) -> int | None:
        hoped = champion[name] / rows[name] if rows[name] else 1.0
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
