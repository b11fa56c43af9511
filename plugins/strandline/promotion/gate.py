"""The gate: what a challenger must show, against the champion and on the same images, before a person may approve it.

Every check has three outcomes. A check of a bound passes if the interval is on the allowed side of it, fails if
it is on the other, and says "not enough evidence" if it straddles. `slices` is a guard: it fails if harm is
shown, and passes if none is. What this means for mistakes stands in docs/gate.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from strandline.promotion.check import Check, Evidence, InfraValidation, Outcome
from strandline.promotion.checks import CHECKS
from strandline.promotion.comparison import Comparison, LabelledSet, compare
from strandline.promotion.rules import DEFAULTS, Rules


@dataclass(frozen=True)
class Gate:
    """The outcome of all checks, and what they are about. Of a set without images there is no comparison."""

    outcome: Outcome
    sentence: str
    classes: tuple[str, ...]
    checks: tuple[Check, ...]
    holdout: Comparison | None
    recent: Comparison | None


def examine(
    classes: Sequence[str],
    holdout: LabelledSet | None,
    recent: LabelledSet | None,
    validation: InfraValidation,
    rules: Rules = DEFAULTS,
    seed: int = 0,
) -> Gate:
    """All checks of a challenger. It fails if one fails; else evidence is missing if one misses it.

    Args:
        classes: names, for the sentences. As they are: escape them where they are shown.
        holdout: the fixed images that no version was trained on; None if the challenger could not answer.
        recent: the newest labelled ones; None if there are none.

    Raises:
        ValueError: a set is of other classes, or what was measured in the infra validation does not fit.
    """
    if any(part is not None and part.champion.probabilities.shape[1] != len(classes) for part in (holdout, recent)):
        raise ValueError("a set has another number of classes than there are names")
    if len(set(classes)) != len(classes):
        raise ValueError("two classes have the same name")
    holdout, recent = (part if part is not None and len(part) else None for part in (holdout, recent))
    evidence = Evidence(classes, holdout, recent, validation, rules, seed)
    checks = tuple(check(evidence) for check in CHECKS)
    outcome, sentence = _overall(checks)
    return Gate(
        outcome,
        sentence,
        tuple(classes),
        checks,
        compare(classes, holdout, rules.alpha) if holdout is not None else None,
        compare(classes, recent, rules.alpha) if recent is not None else None,
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
    takes = " and ".join(f"{number:,} of the {name} set" for name, number in needed.items())
    return (
        "not enough evidence",
        f"No check fails, but evidence is missing for {len(lacking)} of {len(checks)}:"
        f" {', '.join(check.name for check in lacking)}." + (f" More labels needed: {takes}." if takes else ""),
    )
