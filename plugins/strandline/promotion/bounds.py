"""What checks of a bound share: on which side of it an interval is, and how many more labels would show that."""

from collections.abc import Callable, Mapping

from strandline.promotion import words
from strandline.promotion.check import Check, Outcome, SetName, Unit
from strandline.stats import paired
from strandline.stats.estimates import Estimate
from strandline.stats.multiplicity import holm
from strandline.stats.paired import Pairs


def at_least(found: Estimate, bound: float) -> Outcome:
    """Whether the whole interval, or none of it, is at the bound or above."""
    return "pass" if found.low >= bound else "fail" if found.high < bound else "not enough evidence"


def at_most(found: Estimate, bound: float) -> Outcome:
    """Whether the whole interval, or none of it, is at the bound or below."""
    return "pass" if found.high <= bound else "fail" if found.low > bound else "not enough evidence"


def needed(rows: int, found: Estimate, bound: float, hoped: float, variance: float, alpha: float) -> int | None:
    """How many more labels would show it, if the truth is what is hoped; if the interval rules that out, if it is
    what was measured.
    """
    truth = hoped if found.low <= hoped <= found.high else found.value
    return paired.more_labels(rows, found.value, bound, truth, variance, alpha)


def unless_settled(outcome: Outcome, needed: int | None) -> int | None:
    """More labels, where they could change the outcome."""
    return needed if outcome == "not enough evidence" else None


def more(outcome: Outcome, needed: int | None, of: SetName) -> str:
    """The end of a sentence: which labels are needed; nothing if the outcome is settled."""
    if outcome != "not enough evidence":
        return ""
    if needed is None:
        return " More labels would hardly show it."
    return f" {words.count(needed, 'more label')} of the {of} set would most likely show it."


def not_inferior(name: SetName, pairs: Pairs, variance: float, margin: float, alpha: float) -> Check:
    """Accuracy on a set is at most the margin below the champion's: the score interval of `Pairs`."""
    found = pairs.interval(alpha)
    outcome, labels = at_least(found, -margin), needed(pairs.rows, found, -margin, 0.0, variance, alpha)
    asked = f"A loss of up to {words.points(margin)} is allowed.{more(outcome, labels, name)}"
    return compared(name, outcome, pairs, found, -margin, asked, labels)


def compared(
    name: SetName, outcome: Outcome, pairs: Pairs, found: Estimate, bound: float, asked: str, labels: int | None
) -> Check:
    """The check of a set's accuracy against the champion's, in words."""
    measured = (
        f"Accuracy on {words.count(pairs.rows, f'{name} image')}, against the champion: {words.difference(found)}. It"
        f" alone has {pairs.gained:,} right, the champion alone {pairs.lost:,}; if they were equally good, chance would"
        f" make a difference like that {words.how_often(pairs.p_different())}."
        if pairs.rows
        else f"The {name} set has no labelled image."
    )
    return Check(
        name,
        outcome,
        f"{measured} {asked}",
        found if pairs.rows else None,
        bound,
        measured_on=name,
        needed=unless_settled(outcome, labels),
    )


def every_class(
    name: str,
    asked: str,
    found: Mapping[str, Estimate],
    p_values: Mapping[str, float],
    bound: float,
    shown: Callable[[str, Estimate], str],
    needed: Callable[[str], int | None],
    alpha: float,
    unit: Unit = "points",
) -> Check:
    """A bound of every class of the holdout. To pass, all must be shown to keep it: that needs no correction (Berger,
    "Multiparameter Hypothesis Testing and Acceptance Sampling", Technometrics 24, 1982). To fail, one is enough: Holm
    corrects for their number.
    """
    adjusted = holm(p_values)
    lowest = sorted(found, key=lambda one: found[one].low)
    failing = [one for one in sorted(p_values, key=p_values.__getitem__) if adjusted[one] <= alpha]
    lacking = [one for one in lowest if found[one].low < bound]
    outcome: Outcome = "fail" if failing else "not enough evidence" if lacking else "pass"
    listed = failing or lacking or lowest[:1]
    labels = {one: needed(one) for one in lacking} if outcome == "not enough evidence" else {}
    takes = {one: f" (takes {words.count(more, 'more label')})" for one, more in labels.items() if more}
    says = {"fail": "shown to break that", "not enough evidence": "not shown yet", "pass": "all do, the least sure"}
    return Check(
        name,
        outcome,
        f"{asked}; {says[outcome]}: {words.listed([shown(one, found[one]) + takes.get(one, '') for one in listed])}.",
        found[listed[0]],
        bound,
        unit=unit,
        measured_on="holdout",
        needed=sum(filter(None, labels.values())) or None,
    )
