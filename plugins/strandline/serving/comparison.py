"""What a version shows against the champion over HTTP: worse beyond chance, as good, or not enough yet.

A shadow answers the pictures that the champion answered: each is a pair. A canary answers others: each of its answers
is set against as many of the champion's as callers go there, in the order in which they came. Either way there is one
value of -1 to 1 for each picture of the version, above 0 if that is in its favour, and the tests are those of means
that may be looked at at any time (`stats.betting`): whoever watches looks every minute.

"Worse" errs in a whole rollout with a probability of at most ALPHA, which is divided among its tests (Bonferroni: Dunn,
"Multiple Comparisons Among Means", JASA 56, 1961). "As good" errs with at most ALPHA at each step: all has to be shown.

From its approval on, a rollout lasts as long as people want. What it answers then is looked at by blocks, so that what
goes wrong late is not outweighed by all that went well: each block has its own tests, and a part of their level, which
becomes smaller from block to block.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from strandline.stats import betting, estimates

Floats = NDArray[np.floating[Any]]
Rows = Sequence[Mapping[str, Any]]
Outcome = Literal["worse", "as good", "not enough yet"]

ALPHA = 0.025
MOST_STEPS = 4  # of a canary
TESTS = 2 + 3 * MOST_STEPS + 3 + 2  # of a rollout: of the shadow, each step, the approval, the last step
LEVEL = ALPHA / TESTS  # of "worse", in each of them
ACCURACY_MARGIN = 0.02  # loss of accuracy, as the gate allows on the newest images
FAILURE_MARGIN = 0.01  # more pictures on which the network fails
LATENCY_RATIO = 1.25  # seconds a picture, of the champion's
MOST_BESIDE = 4  # answers of the champion that one of the canary is set against: more hardly show more


@dataclass(frozen=True)
class Finding:
    """What came of a look, and that in a sentence."""

    outcome: Outcome
    sentence: str


@dataclass(frozen=True)
class Measure:
    """One thing that is compared.

    Args:
        values: one of -1 to 1 for each picture; above 0 is in favour of the version.
        margin: a loss of so much is as good; None for a guard, which nothing has to be shown of.
        worse_below: a mean of less is worse.
    """

    name: str
    values: Floats
    margin: float | None
    worse_below: float = 0.0

    def outcome(self, level: float) -> Outcome:
        if betting.p_below(self.values, self.worse_below) <= level:
            return "worse"
        if self.margin is None or betting.p_above(self.values, -self.margin) <= ALPHA:
            return "as good"
        return "not enough yet"


def shadow(rows: Rows, pictures: int) -> Finding:
    """Of pairs (`select_shadowed`), of which it takes so many.

    A picture on which the champion fails has no shadow: so a few failures do not count against that.
    """
    labelled = [row for row in rows if row["truth"] is not None]
    right, was_right = _right(labelled, "shadow"), _right(labelled, "answer")
    measures = (
        Measure("accuracy", right - was_right, ACCURACY_MARGIN),
        Measure("failures", -_numbers(rows, "shadow_failed"), FAILURE_MARGIN, -FAILURE_MARGIN),
    )
    both = [row for row in rows if not row["shadow_failed"]]
    return _judge(measures, len(rows), pictures, _disagreement(both))


def canary(version: Rows, champion: Rows, share: float, pictures: int, level: float = LEVEL) -> Finding:
    """Of the answers of both (`select_rollout_answers`), of which it takes so many of the version."""
    beside = min(max(math.floor((1 - share) / share), 1), MOST_BESIDE)
    accuracy, failures, labelled = _beside(version, champion, beside)
    took, had_taken = _sets(beside, *(_numbers(rows, "seconds") for rows in (version, champion)))
    measures = (
        Measure("accuracy", accuracy, None),
        Measure("failures", failures, FAILURE_MARGIN),
        Measure("latency", np.sign(LATENCY_RATIO * had_taken - took).mean(axis=1), 0.0),
    )
    return _judge(measures, len(failures), pictures, labelled, level)


def last_step(version: Rows, champion: Rows, level: float) -> Finding:
    """Of the version's answers to all callers, beside those the champion gave before: a loss within the margins may
    be the pictures', and latency is the hour's.
    """
    accuracy, failures, labelled = _beside(version, champion, 1)
    measures = (
        Measure("accuracy", accuracy, None, -ACCURACY_MARGIN),
        Measure("failures", failures, None, -FAILURE_MARGIN),
    )
    return _judge(measures, len(failures), 0, labelled, level)


def level_of(block: int) -> float:
    """Of "worse", in each test of a block of answers from the approval on: all blocks together have LEVEL."""
    return LEVEL / ((block + 1) * (block + 2))


def _beside(version: Rows, champion: Rows, beside: int) -> tuple[Floats, Floats, str]:
    """How much more often the version is right, how much less often it fails, and how many labels there are."""
    labelled = [[row for row in rows if row["truth"] is not None] for rows in (version, champion)]
    right, was_right = _sets(beside, *(_right(rows, "answer") for rows in labelled))
    fails, failed = _sets(beside, *(_numbers(rows, "failed") for rows in (version, champion)))
    said = f"{len(labelled[0]):,} of the version's answers have a label."
    return (right - was_right).mean(axis=1), (failed - fails).mean(axis=1), said


def _judge(measures: Sequence[Measure], seen: int, pictures: int, more: str, level: float = LEVEL) -> Finding:
    outcomes = {measure.name: measure.outcome(level) for measure in measures}
    said = "; ".join(f"{one.name} {_value(one)}, {_word(one, outcomes[one.name])}" for one in measures)
    outcome: Outcome = "as good" if set(outcomes.values()) == {"as good"} and seen >= pictures else "not enough yet"
    if "worse" in outcomes.values():
        outcome = "worse"
    says = {
        "worse": "The version is worse beyond chance",
        "as good": "The version is as good",
        "not enough yet": "It is not shown yet whether the version is as good",
    }
    of = f" of {pictures:,}" if seen < pictures else ""
    return Finding(outcome, f"{says[outcome]}, on {seen:,}{of} pictures: {said}. {more}")


def _value(measure: Measure) -> str:
    if not len(measure.values):
        return "is compared on no picture"
    points = 100 * float(measure.values.mean())
    return f"{points:+.2f} points in its favour on {len(measure.values):,}"


def _word(measure: Measure, outcome: Outcome) -> str:
    return "not shown to be worse" if measure.margin is None and outcome == "as good" else outcome


def _disagreement(rows: Rows) -> str:
    if not rows:
        return "Both answered no picture."
    differ = estimates.share(sum(row["answer"] != row["shadow"] for row in rows), len(rows), ALPHA)
    return f"They disagree on {differ.value:.2%} ({differ.low:.2%} to {differ.high:.2%})."


def _right(rows: Rows, answer: str) -> Floats:
    return np.array([row[answer] == row["truth"] for row in rows], np.float64)


def _numbers(rows: Rows, name: str) -> Floats:
    return np.array([row[name] for row in rows], np.float64)


def _sets(beside: int, version: Floats, champion: Floats) -> tuple[Floats, Floats]:
    """The version's [n, 1], and the champion's [n, beside] that each is set against."""
    sets = min(len(version), len(champion) // beside)
    return version[:sets, None], champion[: sets * beside].reshape(sets, beside)
