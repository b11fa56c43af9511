"""What a bundle's metrics.json says of a version. Whoever made the bundle wrote it: what is no such number is None."""

import dataclasses
from collections.abc import Sequence
from typing import Any

CONFUSED_PAIRS = 8  # that are named


@dataclasses.dataclass(frozen=True)
class Confused:
    """So many `images` of `truth` were taken for `predicted`: a `share` of all of that truth."""

    truth: str
    predicted: str
    images: int
    share: float


@dataclasses.dataclass(frozen=True)
class Measurements:
    """Shares are 0..1. `recall` has a row for each class, `confusion` counts by [truth][predicted] or is empty, and
    `robustness` the accuracy on images that were changed in some way.
    """

    images: int | None
    accuracy: float | None
    low: float | None
    high: float | None
    calibration_error: float | None
    log_loss: float | None
    recall: list[tuple[str, float | None]]
    confusion: list[list[int]]
    robustness: list[tuple[str, float]]

    def shares(self) -> list[list[float]]:
        """The confusion matrix by shares of each truth."""
        return [[count / max(sum(row), 1) for count in row] for row in self.confusion]

    def confused(self, classes: Sequence[str]) -> list[Confused]:
        """What is taken for what most often."""
        found = [
            Confused(classes[truth], classes[predicted], count, count / sum(row))
            for truth, row in enumerate(self.confusion)
            for predicted, count in enumerate(row)
            if truth != predicted and count
        ]
        return sorted(found, key=lambda one: one.images, reverse=True)[:CONFUSED_PAIRS]


def read(metrics: Any, classes: Sequence[str]) -> Measurements:
    """What can be shown of a bundle's metrics."""
    found = _mapping(metrics)
    interval = found.get("accuracy_95")
    low, high = interval if isinstance(interval, list) and len(interval) == 2 else (None, None)
    recall = _mapping(found.get("recall"))
    robustness = _mapping(_mapping(found.get("robustness")).get("accuracy"))
    changed = [(name, share) for name, value in robustness.items() if (share := _share(value)) is not None]
    images = found.get("images")
    return Measurements(
        images=images if _is_count(images) else None,
        accuracy=_share(found.get("accuracy")),
        low=_share(low),
        high=_share(high),
        calibration_error=_share(found.get("calibration_error")),
        log_loss=_number(found.get("log_loss")),
        recall=[(name, _share(recall.get(name))) for name in classes],
        confusion=_confusion(found.get("confusion"), len(classes)),
        robustness=sorted(changed, key=lambda one: one[1], reverse=True),
    )


def _confusion(value: Any, classes: int) -> list[list[int]]:
    rows = value if isinstance(value, list) and len(value) == classes else []
    whole = all(isinstance(row, list) and len(row) == classes and all(map(_is_count, row)) for row in rows)
    return rows if whole else []


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 2**53 else None


def _share(value: Any) -> float | None:
    found = _number(value)
    return found if found is not None and 0 <= found <= 1 else None
