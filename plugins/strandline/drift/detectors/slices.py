"""Whether single slices of a window changed, as the images of one source. They have no say in the verdict."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strandline.drift.detectors import label_shift, performance
from strandline.drift.detectors.performance import Performance
from strandline.drift.detectors.sample import Integers, Sample
from strandline.stats.multiplicity import holm


@dataclass(frozen=True)
class Slice:
    """What was measured of a slice: its rows, how many of them were predicted as each class, and its accuracy by
    labels, if it has any. The p-values are of its mix of classes and of a fall of its accuracy.
    """

    rows: int
    predicted: tuple[int, ...]
    label_shift_p_value: float
    accuracy: Performance | None
    accuracy_p_value: float | None


def measure(
    slices: Mapping[str, NDArray[np.bool_]],
    window: Sample,
    reference: Sample,
    confusion: Integers,
    labels: Integers,
    seed: int = 0,
) -> dict[str, Slice]:
    """Each slice against the whole reference, by the tests of `label_shift` and `performance.realized`. The p-values
    are adjusted for the number of all these tests, by `holm`.

    Args:
        slices: masks [n] of the window's rows, by name, none of them empty.
        labels: true class indices [n], -1 if unknown.
    """
    rng = np.random.default_rng([seed, 2])
    counts = {name: np.bincount(window.predicted[mask], minlength=window.classes) for name, mask in slices.items()}
    found = {
        name: performance.realized(window.predicted[mask], labels[mask], confusion) for name, mask in slices.items()
    }
    p_values = {f"mix {name}": label_shift.same_counts(of, reference.counts(), rng) for name, of in counts.items()}
    p_values |= {f"accuracy {name}": one.p_value for name, one in found.items() if one}
    adjusted = holm(p_values)
    return {
        name: Slice(
            rows=int(of.sum()),
            predicted=tuple(of.tolist()),
            label_shift_p_value=adjusted[f"mix {name}"],
            accuracy=found[name],
            accuracy_p_value=adjusted.get(f"accuracy {name}"),
        )
        for name, of in counts.items()
    }
