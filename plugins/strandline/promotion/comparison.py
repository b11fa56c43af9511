"""Two models side by side on the same labelled images: what each did, where they differ, and on which images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strandline.stats import calibration, estimates
from strandline.stats.calibration import Bin
from strandline.stats.estimates import Estimate
from strandline.stats.paired import Pairs

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]

SHOWN = 12  # images that only the champion has right


@dataclass(frozen=True)
class Answers:
    """One model's, to the images of a set."""

    predicted: Integers
    probabilities: Floats

    @property
    def confidence(self) -> Floats:
        """Of what was predicted, [n]."""
        chosen: Floats = self.probabilities[np.arange(len(self.predicted)), self.predicted]
        return chosen


@dataclass(frozen=True)
class LabelledSet:
    """Images with their true class indices [n], and what both models answered.

    Args:
        slices: masks [n] of the images that something is common to, such as "source=camera1" or "brightness=dark".

    Raises:
        ValueError: the arrays do not fit each other, an image comes twice, or a class is unknown.
    """

    images: Sequence[str]
    truth: Integers
    champion: Answers
    challenger: Answers
    slices: Mapping[str, Bools] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows, classes = len(self.images), self.champion.probabilities.shape[-1]
        for answers in (self.champion, self.challenger):
            if answers.probabilities.shape != (rows, classes):
                raise ValueError("the models have other numbers of images or classes: they cannot be compared")
            probabilities = answers.probabilities
            if rows and not (np.isfinite(probabilities).all() and 0 <= probabilities.min() <= probabilities.max() <= 1):
                raise ValueError("a model answered with what is no probability: count that image as failed")
        for indices in (self.truth, self.champion.predicted, self.challenger.predicted):
            if indices.shape != (rows,) or (rows and not 0 <= indices.min() <= indices.max() < classes):
                raise ValueError("true and predicted classes must be indices below the number of classes, one an image")
        if any(mask.shape != (rows,) or mask.dtype != bool for mask in self.slices.values()):
            raise ValueError("a slice must be a mask of the images")
        if len(set(self.images)) != rows:
            raise ValueError("an image comes twice: it would count as evidence twice")

    def __len__(self) -> int:
        return len(self.images)

    def pairs(self, mask: Bools | None = None) -> Pairs:
        """Who is right, on all images or on those of the mask."""
        champion, challenger = (side.predicted == self.truth for side in (self.champion, self.challenger))
        return Pairs.of(champion, challenger) if mask is None else Pairs.of(champion[mask], challenger[mask])

    def members(self, classes: Sequence[str]) -> dict[str, Bools]:
        """Masks of the images of each class."""
        return {name: self.truth == index for index, name in enumerate(classes)}


@dataclass(frozen=True)
class OwnSet:
    """Images of the holdout with their true class indices [n], and what the challenger answered, whether or not the
    champion has a class for them.
    """

    truth: Integers
    answers: Answers

    def __len__(self) -> int:
        return len(self.truth)

    @property
    def right(self) -> Bools:
        found: Bools = self.answers.predicted == self.truth
        return found


@dataclass(frozen=True)
class Change:
    """Of a class or a slice: accuracy on its images, of either model, and their difference."""

    name: str
    rows: int
    champion: float
    challenger: float
    difference: Estimate


@dataclass(frozen=True)
class Side:
    """What one model did on a set. `confusion` counts [true class][predicted class]."""

    accuracy: Estimate
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[Bin, ...]
    calibration_error: float


@dataclass(frozen=True)
class Lost:
    """An image that only the champion has right."""

    image: str
    truth: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class Comparison:
    """Both models on one set. `p_value` is of McNemar's exact test; `lost` are those of the greatest confidence."""

    rows: int
    gained_rows: int
    lost_rows: int
    difference: Estimate
    p_value: float
    champion: Side
    challenger: Side
    classes: tuple[Change, ...]
    slices: tuple[Change, ...]
    lost: tuple[Lost, ...]


def compare(classes: Sequence[str], part: LabelledSet, alpha: float) -> Comparison:
    """All of it, with intervals whose limits err with a probability of alpha each."""
    pairs = part.pairs()
    return Comparison(
        len(part),
        pairs.gained,
        pairs.lost,
        pairs.interval(alpha),
        pairs.p_different(),
        measure(classes, part.truth, part.champion, alpha),
        measure(classes, part.truth, part.challenger, alpha),
        tuple(_change(name, part, mask, alpha) for name, mask in part.members(classes).items()),
        tuple(_change(name, part, mask, alpha) for name, mask in sorted(part.slices.items())),
        _lost(classes, part),
    )


def measure(classes: Sequence[str], truth: Integers, answers: Answers, alpha: float) -> Side:
    """What one model did on images of these true class indices [n]."""
    right, size = answers.predicted == truth, len(classes)
    cells = np.bincount(truth * size + answers.predicted, minlength=size * size).reshape(size, size)
    return Side(
        estimates.share(int(right.sum()), len(truth), alpha),
        tuple(map(tuple, cells.tolist())),
        calibration.reliability(answers.confidence, right),
        calibration.calibration_error(answers.confidence, right),
    )


def _change(name: str, part: LabelledSet, mask: Bools, alpha: float) -> Change:
    rows = int(mask.sum())
    champion, challenger = (
        float((answers.predicted[mask] == part.truth[mask]).mean()) if rows else 0.0
        for answers in (part.champion, part.challenger)
    )
    return Change(name, rows, champion, challenger, part.pairs(mask).interval(alpha))


def _lost(classes: Sequence[str], part: LabelledSet) -> tuple[Lost, ...]:
    confidence, predicted = part.challenger.confidence, part.challenger.predicted
    rows = np.flatnonzero((part.champion.predicted == part.truth) & (predicted != part.truth))
    chosen = rows[np.argsort(-confidence[rows], kind="stable")][:SHOWN]
    return tuple(
        Lost(part.images[row], classes[part.truth[row]], classes[predicted[row]], float(confidence[row]))
        for row in chosen.tolist()
    )
