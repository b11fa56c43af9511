"""What a check is given, and what comes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from strandline.promotion.comparison import LabelledSet, OwnSet
from strandline.promotion.rules import Rules
from strandline.stats.estimates import Estimate

Floats = NDArray[np.floating[Any]]

Outcome = Literal["pass", "fail", "not enough evidence"]
SetName = Literal["holdout", "recent"]
Unit = Literal["share", "points", "gap", "ratio", "probability"]


@dataclass(frozen=True)
class InfraValidation:
    """How the challenger fared in the real runner.

    Args:
        loaded: it loaded there and answered; `detail` says what happened if it did not.
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
class Scope:
    """Which classes a gate is about: the champion's and the challenger's."""

    champion: Sequence[str]
    challenger: Sequence[str]

    @property
    def shared(self) -> tuple[str, ...]:
        """Those that both have: on no other can they be compared."""
        return tuple(name for name in self.champion if name in self.challenger)


@dataclass(frozen=True)
class Evidence:
    """What a gate knows of a challenger. A set is None if there is no answer to an image of it.

    Args:
        classes: names, for the sentences: of both models.
        scope: which of them either model has.
        own: the challenger alone, on all of the holdout; `holdout` and `recent` have the images of shared classes.
        rules: what is allowed.
        seed: of what is random.
    """

    classes: Sequence[str]
    scope: Scope
    own: OwnSet | None
    holdout: LabelledSet | None
    recent: LabelledSet | None
    validation: InfraValidation
    rules: Rules
    seed: int = 0


@dataclass(frozen=True)
class Check:
    """What was asked, and what came of it.

    Args:
        found: what was measured, and its interval; of many classes or slices, the one that matters most.
        bound: what the interval is compared with; `allowed` is the side of it.
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


def unanswered(name: str, of: SetName) -> Check:
    """The check of a set of which there is nothing to measure."""
    return Check(name, "not enough evidence", f"There is no answer to a {of} image.", measured_on=of)
