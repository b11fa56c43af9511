"""On the newest labelled images the challenger is better than the champion, or not worse, as the rules ask.

Superior is what both McNemar's exact test (1947) and the score interval of pairs (Tango, 1998) say is better; it fails
if a gain worth a change can be ruled out, or more labels would go on for ever.
"""

from strandline.promotion import bounds
from strandline.promotion.check import Check, Evidence, Outcome, unanswered
from strandline.promotion.comparison import LabelledSet
from strandline.promotion.words import points
from strandline.stats.paired import Pairs


def check(evidence: Evidence) -> Check:
    """Of a recent set without labels, the holdout says how often the models differ."""
    if not evidence.validation.loaded:
        return unanswered("recent", "recent")
    pairs, holdout, rules = _pairs(evidence.recent), _pairs(evidence.holdout), evidence.rules
    variance = pairs.variance if pairs.rows else holdout.variance
    if rules.recent_rule == "non-inferior":
        return bounds.not_inferior("recent", pairs, variance, rules.recent_margin, rules.alpha)
    found, gain = pairs.interval(rules.alpha), rules.recent_gain
    better = found.low > 0 and pairs.p_different() <= 2 * rules.alpha
    outcome: Outcome = "pass" if better else "fail" if found.high < gain else "not enough evidence"
    needed = bounds.needed(pairs.rows, found, 0.0, gain, variance, rules.alpha)
    asked = {
        "pass": "It must be better, and is.",
        "fail": f"It must be better; a gain of {points(gain)}, from which on a change is worth it, can be ruled out.",
        "not enough evidence": f"It must be better.{bounds.more(outcome, needed, 'recent')}",
    }
    return bounds.compared("recent", outcome, pairs, found, 0.0, asked[outcome], needed)


def _pairs(part: LabelledSet | None) -> Pairs:
    return part.pairs() if part is not None else Pairs(0, 0, 0)
