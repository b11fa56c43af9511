"""The gate: what a challenger must show, against the champion and on the same images, before a person may approve it.

Every check has three outcomes. A check of a bound passes if the interval is on the allowed side of it, fails if
it is on the other, and says "not enough evidence" if it straddles. `slices` is a guard: it fails if harm is
shown, and passes if none is. What this means for mistakes stands in docs/gate.md.

Models are compared on images of classes that both have. If they share none, it is a first gate: the challenger has to
keep the bounds that are of it alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from strandline.promotion import words
from strandline.promotion.check import Check, Evidence, InfraValidation, Outcome, Scope
from strandline.promotion.checks import CHECKS, FIRST
from strandline.promotion.comparison import Comparison, LabelledSet, OwnSet, Side, compare, measure
from strandline.promotion.rules import DEFAULTS, Rules


@dataclass(frozen=True)
class Gate:
    """The outcome of all checks, and what they are about. Of a set without images there is no comparison; `own` is what
    the challenger did on its holdout, where the champion does not have all of its classes.
    """

    outcome: Outcome
    sentence: str
    classes: tuple[str, ...]
    checks: tuple[Check, ...]
    holdout: Comparison | None
    recent: Comparison | None
    own: Side | None = None


def examine(
    classes: Sequence[str],
    holdout: LabelledSet | None,
    recent: LabelledSet | None,
    validation: InfraValidation,
    rules: Rules = DEFAULTS,
    seed: int = 0,
    own: OwnSet | None = None,
    scope: Scope | None = None,
) -> Gate:
    """All checks of a challenger. It fails if one fails; else evidence is missing if one misses it.

    Args:
        classes: names, for the sentences, of both models. As they are: escape them where they are shown.
        holdout: the fixed images that no version was trained on; None if the challenger could not answer.
        recent: the newest labelled ones; None if there are none.
        own: the challenger's answers to its holdout; by default those of `holdout`.
        scope: which classes either model has; all of them by default.

    Raises:
        ValueError: a set is of other classes, or what was measured in the infra validation does not fit.
    """
    if any(part is not None and part.champion.probabilities.shape[1] != len(classes) for part in (holdout, recent)):
        raise ValueError("a set has another number of classes than there are names")
    if len(set(classes)) != len(classes):
        raise ValueError("two classes have the same name")
    holdout, recent = (part if part is not None and len(part) else None for part in (holdout, recent))
    scope = scope or Scope(classes, classes)
    if own is None and holdout is not None:
        own = OwnSet(holdout.truth, holdout.challenger)
    evidence = Evidence(classes, scope, own, holdout, recent, validation, rules, seed)
    checks = tuple(check(evidence) for check in (CHECKS if scope.shared else FIRST))
    outcome, sentence = _overall(checks)
    alone = own is not None and set(scope.shared) != set(scope.challenger)
    return Gate(
        outcome,
        " ".join([sentence, *_scope(scope, validation)]),
        tuple(classes),
        checks,
        compare(classes, holdout, rules.alpha) if holdout is not None else None,
        compare(classes, recent, rules.alpha) if recent is not None else None,
        measure(classes, own.truth, own.answers, rules.alpha) if own is not None and alone else None,
    )


def _scope(scope: Scope, validation: InfraValidation) -> list[str]:
    """What is compared of models with other classes, as sentences; none if their classes are the same."""
    new = [name for name in scope.challenger if name not in scope.champion]
    lost = [name for name in scope.champion if name not in scope.challenger]
    if not new and not lost:
        return []
    shared = f"{len(scope.shared)} of its {len(scope.challenger)} classes"
    says = [
        f"The champion has {shared}: only images of those are compared, the others have to keep the bounds that are of"
        " the challenger alone."
        if scope.shared
        else "This is a first gate: the champion has none of its classes, so nothing is compared with it, and the"
        f" challenger has to keep the bounds that are of it alone.{_seconds(validation)}"
    ]
    if lost:
        says.append(f"What the champion has and the challenger has not: {words.listed(lost)}.")
    return says


def _seconds(validation: InfraValidation) -> str:
    if not validation.loaded or not len(validation.challenger_seconds):
        return ""
    challenger, champion = (
        float(np.median(seconds)) for seconds in (validation.challenger_seconds, validation.champion_seconds)
    )
    return f" An image takes it {1000 * challenger:.3g} ms, and the champion {1000 * champion:.3g} ms."


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
