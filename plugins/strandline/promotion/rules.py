"""What the gate allows: the bounds that its checks hold a challenger to."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Rules:
    """What is allowed. Shares and differences of shares are 0..1.

    Raises:
        ValueError: one of them is out of its range.
    """

    alpha: float = 0.025  # of passing what is just not allowed, and of failing what just is, for each check
    floor: float = 0.8  # accuracy on the holdout
    holdout_margin: float = 0.01  # loss of accuracy on the holdout
    recent_rule: Literal["superior", "non-inferior"] = "superior"
    recent_gain: float = 0.02  # if superior: with less than this it is not worth a change
    recent_margin: float = 0.02  # if non-inferior: loss of accuracy on the recent set
    class_floor: float = 0.5  # recall of each class of the holdout
    class_margin: float = 0.05  # loss of recall in each class of the holdout
    calibration_margin: float = 0.02  # rise of the calibration error on the holdout
    calibration_bound: float = 0.1  # the calibration error on the holdout, in a first gate
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
        if not 0 < self.calibration_bound < 1:
            raise ValueError(f"calibration_bound is {self.calibration_bound}: it must be between 0 and 1")
        for name in ("holdout", "recent", "class", "calibration", "slice"):
            if not 0 < getattr(self, f"{name}_margin") < 1:
                raise ValueError(f"{name}_margin must be between 0 and 1: without a margin nothing can be shown")
        if not 0 < self.recent_gain < 1:
            raise ValueError(f"recent_gain is {self.recent_gain}: it must be between 0 and 1")
        if self.recent_rule not in ("superior", "non-inferior"):
            raise ValueError(f"recent_rule is {self.recent_rule!r}: it must be superior or non-inferior")
        if not (self.latency_ratio > 0 and self.golden_tolerance > 0 and self.slice_rows > 0):
            raise ValueError("latency_ratio, golden_tolerance and slice_rows must be above 0")


DEFAULTS = Rules()
