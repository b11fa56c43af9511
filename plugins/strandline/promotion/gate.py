"""The gate: what a challenger must show, against the champion and on the same images, before a person may approve it.

Every check has three outcomes. A check of a bound passes where the interval is on the allowed side of it, fails where
it is on the other, and says "not enough evidence" where it straddles. `slices` is a guard: it fails where harm is
shown, and passes where none is. What this means for mistakes stands in docs/gate.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from strandline.promotion.comparison import Comparison, LabelledSet, compare
from strandline.stats import calibration, estimates, paired
from strandline.stats.estimates import Estimate
from strandline.stats.multiplicity import holm
from strandline.stats.paired import Pairs

Floats = NDArray[np.floating[Any]]

Outcome = Literal["pass", "fail", "not enough evidence"]
SetName = Literal["holdout", "window"]
Unit = Literal["share", "points", "gap", "ratio", "probability"]

LISTED = 5  # classes or slices that a sentence names


@dataclass(frozen=True)
class Rules:
    """What is allowed. Shares and differences of shares are 0..1.

    Raises:
        ValueError: one of them is out of its range.
    """

    alpha: float = 0.025  # of passing what is just not allowed, and of failing what just is, for each check
    floor: float = 0.8  # accuracy on the holdout
    holdout_margin: float = 0.01  # loss of accuracy on the holdout
    window_rule: Literal["superior", "non-inferior"] = "superior"
    window_gain: float = 0.02  # where superior: with less than this it is not worth a change
    window_margin: float = 0.02  # where non-inferior: loss of accuracy on the window
    class_floor: float = 0.5  # recall of each class of the holdout
    class_margin: float = 0.05  # loss of recall in each class of the holdout
    calibration_margin: float = 0.02  # rise of the calibration error on the holdout
    slice_margin: float = 0.05  # loss of accuracy in each slice
    slice_rows: int = 100  # smaller slices are shown and not judged
    latency_ratio: float = 1.25  # seconds an image, of the champion's
    golden_tolerance: float = 1e-3  # of each probability of a golden image

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"alpha is {self.alpha}: it must be between 0 and 0.5")
        for name in ("floor", "class_floor"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: it must be from 0 to below 1")
        for name in ("holdout", "window", "class", "calibration", "slice"):
            if not 0 < getattr(self, f"{name}_margin") < 1:
                raise ValueError(f"{name}_margin must be between 0 and 1: without a margin nothing can be shown")
        if not 0 < self.window_gain < 1:
            raise ValueError(f"window_gain is {self.window_gain}: it must be between 0 and 1")
        if self.window_rule not in ("superior", "non-inferior"):
            raise ValueError(f"window_rule is {self.window_rule!r}: it must be superior or non-inferior")
        if not (self.latency_ratio > 0 and self.golden_tolerance > 0 and self.slice_rows > 0):
            raise ValueError("latency_ratio, golden_tolerance and slice_rows must be above 0")


@dataclass(frozen=True)
class Trial:
    """How the challenger fared in the real runner.

    Args:
        loaded: it loaded there and answered; `detail` says what happened where it did not.
        champion_seconds: for an image, one number a round [r]; in a round both models classify the same images, one
            after the other.
        golden_expected: probabilities [images, classes] that the bundle says it gives for its golden images.
        golden_found: those that it gave.
    """

    loaded: bool
    champion_seconds: Floats
    challenger_seconds: Floats
    golden_expected: Floats
    golden_found: Floats
    detail: str = ""


@dataclass(frozen=True)
class Check:
    """What was asked, and what came of it.

    Args:
        found: what was measured, and its interval; of many classes or slices, the one that matters most.
        bound: what the interval is held against; `allowed` is the side of it.
        needed: how many more labels of the set `measured_on` would most likely show it, if it is true.
    """

    name: str
    outcome: Outcome
    sentence: str
    found: Estimate | None = None
    bound: float | None = None
    allowed: Literal["above", "below"] = "above"
    unit: Unit = "points"
    measured_on: SetName | None = None
    needed: int | None = None


@dataclass(frozen=True)
class Gate:
    """The outcome of all checks, and what they are about. Of a set without images there is no comparison."""

    outcome: Outcome
    sentence: str
    classes: tuple[str, ...]
    checks: tuple[Check, ...]
    holdout: Comparison | None
    window: Comparison | None


def examine(
    classes: Sequence[str],
    holdout: LabelledSet | None,
    window: LabelledSet | None,
    trial: Trial,
    rules: Rules = Rules(),
    seed: int = 0,
) -> Gate:
    """All checks of a challenger. It fails where one fails; else evidence is missing where one misses it.

    Args:
        classes: names, for the sentences. As they are: escape them where they are shown.
        holdout: the fixed images that no version was trained on; None where the challenger could not answer.
        window: the newest labelled ones; None where there are none.

    Raises:
        ValueError: a set is of other classes, or what was measured in the trial does not fit.
    """
    if any(part is not None and part.champion.probabilities.shape[1] != len(classes) for part in (holdout, window)):
        raise ValueError("a set has another number of classes than there are names")
    if len(set(classes)) != len(classes):
        raise ValueError("two classes have the same name")
    holdout, window = (part if part is not None and len(part) else None for part in (holdout, window))
    checks = (
        _loads(trial),
        _golden(trial, rules),
        *_on_holdout(classes, holdout, rules, seed),
        _window(trial, _pairs(window), _pairs(holdout), rules),
        _slices({"holdout": holdout, "window": window}, rules),
        _latency(trial, rules),
    )
    outcome, sentence = _overall(checks)
    return Gate(
        outcome,
        sentence,
        tuple(classes),
        checks,
        compare(classes, holdout, rules.alpha) if holdout is not None else None,
        compare(classes, window, rules.alpha) if window is not None else None,
    )


def _overall(checks: Sequence[Check]) -> tuple[Outcome, str]:
    failed = [check.name for check in checks if check.outcome == "fail"]
    lacking = [check for check in checks if check.outcome == "not enough evidence"]
    if failed:
        return "fail", f"The challenger fails {len(failed)} of {len(checks)} checks: {', '.join(failed)}."
    if not lacking:
        return "pass", f"The challenger passes all {len(checks)} checks."
    needed: dict[str, int] = {}
    for check in lacking:
        if check.needed and check.measured_on:
            needed[check.measured_on] = max(check.needed, needed.get(check.measured_on, 0))
    takes = " and ".join(f"{number:,} of the {name}" for name, number in needed.items())
    return (
        "not enough evidence",
        f"No check fails, but evidence is missing for {len(lacking)} of {len(checks)}:"
        f" {', '.join(check.name for check in lacking)}." + (f" More labels needed: {takes}." if takes else ""),
    )


def _on_holdout(classes: Sequence[str], holdout: LabelledSet | None, rules: Rules, seed: int) -> tuple[Check, ...]:
    if holdout is None:
        missing = "There is no answer to a holdout image."
        names = ("accuracy floor", "holdout", "class floors", "class losses", "calibration")
        return tuple(Check(name, "not enough evidence", missing, measured_on="holdout") for name in names)
    pairs = holdout.pairs()
    return (
        _floor(holdout, rules),
        _non_inferior("holdout", pairs, pairs.variance, rules.holdout_margin, rules),
        _class_floors(classes, holdout, rules),
        _class_losses(classes, holdout, rules),
        _calibration(holdout, rules, seed),
    )


def _loads(trial: Trial) -> Check:
    if trial.loaded:
        return Check("loads", "pass", "It loads in the real runner, and answers.")
    return Check("loads", "fail", f"It does not load in the real runner, or does not answer: {trial.detail}")


def _golden(trial: Trial, rules: Rules) -> Check:
    """No statistics: the same weights and pixels must give the same probabilities."""
    name, tolerance = "golden images", rules.golden_tolerance
    if not trial.loaded or not len(trial.golden_expected):
        return Check(name, "not enough evidence", "No golden image was classified, so nothing shows that it works.")
    if trial.golden_expected.shape != trial.golden_found.shape:
        raise ValueError("the golden images found are not those expected")
    # What is not a number must not pass as no difference.
    gap = float(np.nan_to_num(np.abs(trial.golden_expected - trial.golden_found), nan=1.0, posinf=1.0).max())
    images = _count(len(trial.golden_expected), "golden image")
    off = f"up to {decimal(gap)} off" if gap else "exactly"
    return Check(
        name,
        "pass" if gap <= tolerance else "fail",
        f"On {images} its probabilities are {off} what its bundle says; {decimal(tolerance)} is allowed.",
        Estimate(gap, gap, gap),
        tolerance,
        "below",
        "probability",
    )


def _floor(holdout: LabelledSet, rules: Rules) -> Check:
    right, rows = int((holdout.challenger.predicted == holdout.truth).sum()), len(holdout)
    champion = float((holdout.champion.predicted == holdout.truth).mean())
    found, variance = estimates.share(right, rows, rules.alpha), _binomial_variance(right, rows)
    outcome = _outcome(found, rules.floor)
    needed = _needed(rows, found, rules.floor, champion, variance, rules)
    return Check(
        "accuracy floor",
        outcome,
        f"On {_count(rows, 'holdout image')} it has {_share(found)} right; it needs {rules.floor:.1%}."
        + _more(outcome, needed, "holdout"),
        found,
        rules.floor,
        unit="share",
        measured_on="holdout",
        needed=_unless_settled(outcome, needed),
    )


def _non_inferior(name: SetName, pairs: Pairs, variance: float, margin: float, rules: Rules) -> Check:
    found = pairs.interval(rules.alpha)
    outcome = _outcome(found, -margin)
    needed = _needed(pairs.rows, found, -margin, 0.0, variance, rules)
    what = f"A loss of up to {_points(margin)} is allowed.{_more(outcome, needed, name)}"
    return _compared(name, outcome, pairs, found, -margin, what, needed)


def _window(trial: Trial, pairs: Pairs, holdout: Pairs, rules: Rules) -> Check:
    """Superior is what both McNemar's exact test and the interval say is better; it fails where a gain worth a change
    can be ruled out, or more labels would go on for ever. Of a window without labels, the holdout says how often the
    models differ.
    """
    if not trial.loaded:
        return Check("window", "not enough evidence", "There is no answer to a window image.", measured_on="window")
    variance = pairs.variance if pairs.rows else holdout.variance
    if rules.window_rule == "non-inferior":
        return _non_inferior("window", pairs, variance, rules.window_margin, rules)
    found, gain = pairs.interval(rules.alpha), rules.window_gain
    better = found.low > 0 and pairs.p_different() <= 2 * rules.alpha
    outcome: Outcome = "pass" if better else "fail" if found.high < gain else "not enough evidence"
    needed = _needed(pairs.rows, found, 0.0, gain, variance, rules)
    what = {
        "pass": "It must be better, and is.",
        "fail": f"It must be better; a gain of {_points(gain)}, from which on a change is worth it, can be ruled out.",
        "not enough evidence": f"It must be better.{_more(outcome, needed, 'window')}",
    }
    return _compared("window", outcome, pairs, found, 0.0, what[outcome], needed)


def _compared(
    name: SetName, outcome: Outcome, pairs: Pairs, found: Estimate, bound: float, what: str, needed: int | None
) -> Check:
    measured = (
        f"Accuracy on {_count(pairs.rows, f'{name} image')}, against the champion: {_difference(found)}. It alone has"
        f" {pairs.gained:,} right, the champion alone {pairs.lost:,}; if they were equally good, chance would make a"
        f" difference like that {_how_often(pairs.p_different())}."
        if pairs.rows
        else f"The {name} has no labelled image."
    )
    return Check(
        name,
        outcome,
        f"{measured} {what}",
        found if pairs.rows else None,
        bound,
        measured_on=name,
        needed=_unless_settled(outcome, needed),
    )


def _how_often(probability: float) -> str:
    """A probability in words: of it, people who know no statistics have an idea as well."""
    if probability < 0.001:
        return "less than once in 1,000 times"
    if probability < 0.15:
        return f"about once in {1 / probability:,.0f} times"
    return "every time" if probability > 0.95 else f"about {10 * probability:.0f} times in 10"


def decimal(value: float) -> str:
    """A small number without an exponent, to its first digit."""
    return np.format_float_positional(value, precision=1, fractional=False, trim="-")


def _class_floors(classes: Sequence[str], holdout: LabelledSet, rules: Rules) -> Check:
    floor, members = rules.class_floor, holdout.members(classes)
    rows = {name: int(mask.sum()) for name, mask in members.items()}
    right, champion = (
        {name: int((side.predicted == holdout.truth)[mask].sum()) for name, mask in members.items()}
        for side in (holdout.challenger, holdout.champion)
    )
    found = {name: estimates.share(right[name], rows[name], rules.alpha) for name in classes}

    def needed(name: str) -> int | None:
        hoped = champion[name] / rows[name] if rows[name] else 1.0
        return _needed(rows[name], found[name], floor, hoped, _binomial_variance(right[name], rows[name]), rules)

    return _family(
        "class floors",
        f"Each class needs a recall of {floor:.0%} on the holdout",
        found,
        {name: estimates.p_below(right[name], rows[name], floor) for name in classes},
        floor,
        lambda name, found: f"{name}, {_share(found)}" if rows[name] else f"{name}, no image",
        needed,
        rules.alpha,
        "share",
    )


def _class_losses(classes: Sequence[str], holdout: LabelledSet, rules: Rules) -> Check:
    margin, overall = rules.class_margin, holdout.pairs().variance
    pairs = {name: holdout.pairs(mask) for name, mask in holdout.members(classes).items()}
    found = {name: of_class.interval(rules.alpha) for name, of_class in pairs.items()}

    def needed(name: str) -> int | None:
        variance = pairs[name].variance if pairs[name].rows else overall
        return _needed(pairs[name].rows, found[name], -margin, 0.0, variance, rules)

    return _family(
        "class losses",
        f"No class may lose more than {_points(margin)} of recall on the holdout",
        found,
        {name: of_class.p_below(-margin) for name, of_class in pairs.items()},
        -margin,
        lambda name, found: f"{name}, {_difference(found)}" if pairs[name].rows else f"{name}, no image",
        needed,
        rules.alpha,
    )


def _family(
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
    """A bound of every class. To pass, all must be shown to keep it: that needs no correction (Berger, "Multiparameter
    Hypothesis Testing and Acceptance Sampling", Technometrics 24, 1982). To fail, one is enough: Holm corrects for
    their number.
    """
    adjusted = holm(p_values)
    lowest = sorted(found, key=lambda one: found[one].low)
    failing = [one for one in sorted(p_values, key=p_values.__getitem__) if adjusted[one] <= alpha]
    lacking = [one for one in lowest if found[one].low < bound]
    outcome: Outcome = "fail" if failing else "not enough evidence" if lacking else "pass"
    listed = failing or lacking or lowest[:1]
    labels = {one: needed(one) for one in lacking} if outcome == "not enough evidence" else {}
    takes = {one: f" (takes {_count(more, 'more label')})" for one, more in labels.items() if more}
    says = {"fail": "shown to break that", "not enough evidence": "not shown yet", "pass": "all do, the least sure"}
    return Check(
        name,
        outcome,
        f"{asked}; {says[outcome]}: {_listed([shown(one, found[one]) + takes.get(one, '') for one in listed])}.",
        found[listed[0]],
        bound,
        unit=unit,
        measured_on="holdout",
        needed=sum(filter(None, labels.values())) or None,
    )


def _calibration(holdout: LabelledSet, rules: Rules, seed: int) -> Check:
    name, margin = "calibration", rules.calibration_margin
    champion, challenger = (
        (answers.confidence, answers.predicted == holdout.truth) for answers in (holdout.champion, holdout.challenger)
    )
    found, variance = calibration.calibration_change(champion, challenger, rules.alpha, seed)
    outcome: Outcome = "pass" if found.high <= margin else "fail" if found.low > margin else "not enough evidence"
    fall = Estimate(-found.value, -found.high, -found.low)
    needed = _needed(len(holdout), fall, -margin, 0.0, variance, rules)
    return Check(
        name,
        outcome,
        f"Gap between confidence and accuracy on the holdout, against the champion: {_difference(found)}. A rise by up"
        f" to {_points(margin)} is allowed.{_more(outcome, needed, 'holdout')}",
        found,
        margin,
        "below",
        "gap",
        "holdout",
        _unless_settled(outcome, needed),
    )


def _slices(sets: Mapping[str, LabelledSet | None], rules: Rules) -> Check:
    name, margin = "slices", rules.slice_margin
    slices = {
        f"{one} of the {set_name}": part.pairs(mask)
        for set_name, part in sets.items()
        if part is not None
        for one, mask in part.slices.items()
    }
    judged = {one: pairs for one, pairs in slices.items() if pairs.rows >= rules.slice_rows}
    small = f"{_count(len(slices) - len(judged), 'slice')} of fewer than {rules.slice_rows:,} images"
    if not judged:
        return Check(name, "pass", f"There is none to judge, and {small}.")
    p_values = {one: pairs.p_below(-margin) for one, pairs in judged.items()}
    adjusted, found = holm(p_values), {one: pairs.interval(rules.alpha) for one, pairs in judged.items()}
    worst = min(p_values, key=p_values.__getitem__)
    failing = [one for one in sorted(p_values, key=p_values.__getitem__) if adjusted[one] <= rules.alpha]
    listed = _listed([f"{one}, {_difference(found[one])}" for one in failing])
    says = (
        f"Shown to lose more than {_points(margin)}: {listed}."
        if failing
        else f"None of {_count(len(judged), 'slice')} is shown to lose more than {_points(margin)}; the worst is"
        f" {worst}, {_difference(found[worst])}."
    )
    ignored = f" Not judged: {small}." if len(slices) > len(judged) else ""
    return Check(
        name,
        "fail" if failing else "pass",
        says + ignored,
        found[worst],
        -margin,
    )


def _latency(trial: Trial, rules: Rules) -> Check:
    name, bound, fewest = "latency", rules.latency_ratio, paired.fewest_rounds(rules.alpha)
    if not trial.loaded or min(len(trial.champion_seconds), len(trial.challenger_seconds)) < fewest:
        return Check(name, "not enough evidence", f"Fewer than {fewest} rounds were timed: time more of them.")
    found = paired.ratio(trial.champion_seconds, trial.challenger_seconds, rules.alpha)
    outcome: Outcome = "pass" if found.high <= bound else "fail" if found.low > bound else "not enough evidence"
    again = " Try it again on a machine with less else to do." if outcome == "not enough evidence" else ""
    return Check(
        name,
        outcome,
        f"An image takes it {found.value:.2f} ({found.low:.2f} to {found.high:.2f}) times as long as the champion;"
        f" {bound:.2f} is allowed.{again}",
        found,
        bound,
        "below",
        "ratio",
    )


def _pairs(part: LabelledSet | None) -> Pairs:
    return part.pairs() if part is not None else Pairs(0, 0, 0)


def _outcome(found: Estimate, bound: float) -> Outcome:
    return "pass" if found.low >= bound else "fail" if found.high < bound else "not enough evidence"


def _needed(rows: int, found: Estimate, bound: float, hoped: float, variance: float, rules: Rules) -> int | None:
    """How many more labels would show it, if the truth is what is hoped; where the interval rules that out, if it is
    what was measured.
    """
    truth = hoped if found.low <= hoped <= found.high else found.value
    return paired.more_labels(rows, found.value, bound, truth, variance, rules.alpha)


def _unless_settled(outcome: Outcome, needed: int | None) -> int | None:
    return needed if outcome == "not enough evidence" else None


def _binomial_variance(hits: int, rows: int) -> float:
    """Of one row; like Agresti and Coull's (1998), it is never 0."""
    centred = (hits + 2) / (rows + 4)
    return centred * (1 - centred)


def _more(outcome: Outcome, needed: int | None, of: SetName) -> str:
    if outcome != "not enough evidence":
        return ""
    if needed is None:
        return " More labels would hardly show it."
    return f" {_count(needed, 'more label')} of the {of} would most likely show it."


def _listed(parts: Sequence[str]) -> str:
    more = [f"and {len(parts) - LISTED:,} more"] if len(parts) > LISTED else []
    return "; ".join([*parts[:LISTED], *more])


def _share(found: Estimate) -> str:
    return f"{found.value:.1%} ({100 * found.low:.1f} to {found.high:.1%})"


def _difference(found: Estimate) -> str:
    return f"{_signed(found.value)} points ({_signed(found.low)} to {_signed(found.high)})"


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
