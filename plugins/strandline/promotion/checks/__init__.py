"""The checks of the gate, one a file: each has a `check`, which says whether the evidence shows what the rules ask.

What several of them share is beside this package: `bounds` (statistics) and `words` (sentences).
"""

from strandline.promotion.checks import (
    accuracy_floor,
    calibration,
    calibration_bound,
    class_floors,
    class_losses,
    golden_images,
    holdout,
    latency,
    loads,
    recent,
    slices,
)

CHECKS = (  # of a gate that compares, in this order
    loads.check,
    golden_images.check,
    accuracy_floor.check,
    holdout.check,
    class_floors.check,
    class_losses.check,
    calibration.check,
    recent.check,
    slices.check,
    latency.check,
)
FIRST = (  # of a first gate: the champion has none of the challenger's classes
    loads.check,
    golden_images.check,
    accuracy_floor.check,
    class_floors.check,
    calibration_bound.check,
)
