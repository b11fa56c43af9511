"""No slice of either set is shown to lose more accuracy than a margin: the score test of pairs (Tango, 1998), with
Holm's correction over all slices.

A guard: slices are small, and to ask each for proof would let nothing pass. So it passes unless harm is shown.
"""

from strandline.promotion.check import Check, Evidence
from strandline.promotion.words import count, difference, listed, points
from strandline.stats.multiplicity import holm

NAME = "slices"


def check(evidence: Evidence) -> Check:
    """Slices of fewer images than the rules say are counted, and not judged."""
    rules, margin = evidence.rules, evidence.rules.slice_margin
    slices = {
        f"{slice_} of the {set_name} set": part.pairs(mask)
        for set_name, part in (("holdout", evidence.holdout), ("recent", evidence.recent))
        if part is not None
        for slice_, mask in part.slices.items()
    }
    judged = {one: pairs for one, pairs in slices.items() if pairs.rows >= rules.slice_rows}
    small = f"{count(len(slices) - len(judged), 'slice')} of fewer than {rules.slice_rows:,} images"
    if not judged:
        return Check(NAME, "pass", f"There is none to judge, and {small}.")
    p_values = {name: pairs.p_below(-margin) for name, pairs in judged.items()}
    adjusted, found = holm(p_values), {name: pairs.interval(rules.alpha) for name, pairs in judged.items()}
    by_harm = sorted(p_values, key=p_values.__getitem__)
    failing, worst = [name for name in by_harm if adjusted[name] <= rules.alpha], by_harm[0]
    says = (
        f"Shown to lose more than {points(margin)}:"
        f" {listed([f'{name}, {difference(found[name])}' for name in failing])}."
        if failing
        else f"None of {count(len(judged), 'slice')} is shown to lose more than {points(margin)}; the worst is"
        f" {worst}, {difference(found[worst])}."
    )
    ignored = f" Not judged: {small}." if len(slices) > len(judged) else ""
    return Check(NAME, "fail" if failing else "pass", says + ignored, found[worst], -margin)
