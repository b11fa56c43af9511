"""What changed between the champion's reference and a window of predictions: the mix of classes (`label_shift`), the
images (`embedding_drift`), or how well the model does on them (`performance`). All of it from predictions and
embeddings; labels are used if there are some. How small a change would be found is in `power`.

Arrays: predicted class indices int [n]; probabilities float [n, classes]; embeddings float [k, features] of the first
k rows, which are in random order; confusion counts int [true class, predicted class] of the champion's test images.
Shares, accuracies and intervals are 0..1. What is random comes from a seed. Rows count as drawn independently: of
near-identical images, `near_duplicates` leaves one.
"""

from dataclasses import dataclass

import numpy as np

from strandline.drift.detectors import embedding_drift, label_shift, performance, permutation, power
from strandline.drift.detectors.embedding_drift import EmbeddingDrift
from strandline.drift.detectors.label_shift import LabelShift
from strandline.drift.detectors.performance import Performance
from strandline.drift.detectors.power import Detectable
from strandline.drift.detectors.sample import Integers, Sample

TESTS = 4  # of a window: its mix, its images, its accuracy as estimated, and by labels once there are enough


@dataclass(frozen=True)
class Drift:
    """What was measured of a window, by the names that report.json and the ledger have. Each p-value is to be compared
    with `alpha`. `duplicates` rows were left out, as near duplicates of the others.
    """

    rows: int
    alpha: float
    label_shift: LabelShift
    embedding_drift: EmbeddingDrift
    estimated: Performance
    realized: Performance | None
    detectable: Detectable
    duplicates: int = 0


def measure(
    window: Sample,
    reference: Sample,
    confusion: Integers,
    alpha: float,
    labels: Integers | None = None,
    seed: int = 0,
) -> Drift:
    """All there is to say about a window.

    Args:
        alpha: the level of each of the TESTS, as `alpha_per_window` gives it.
        labels: true class indices [n], -1 if unknown.

    Raises:
        ValueError: a side is empty, the sides are of different models, or alpha is too small for PERMUTATIONS.
    """
    if not (len(window) and len(reference)):
        raise ValueError("the window or the reference has no predictions: there is nothing to compare")
    if not window.classes == reference.classes == len(confusion) or (
        window.embeddings.shape[1] != reference.embeddings.shape[1]
    ):
        raise ValueError("window, reference and confusion matrix are not of the same model")
    if alpha * (drawn := 1 + permutation.PERMUTATIONS) < 1:
        raise ValueError(f"alpha is {alpha:.2g}, below 1/{drawn}: allow more false alarms, or fewer windows")

    mix = label_shift.detect(window.counts(), reference.counts(), confusion, seed)
    shares = np.array([share.value for share in mix.shares])
    weights = label_shift.shift_weights(reference, shares, confusion)
    like = label_shift.likeliest_shares(window, reference, confusion)
    thinning = label_shift.shift_weights(reference, like, confusion)
    return Drift(
        rows=len(window),
        alpha=alpha,
        label_shift=mix,
        embedding_drift=embedding_drift.detect(window, reference, thinning, seed),
        estimated=performance.estimated(window.probabilities, reference.probabilities, weights, shares, confusion),
        realized=None if labels is None else performance.realized(window.predicted, labels, confusion),
        detectable=power.detectable(len(window), len(reference), confusion, alpha),
    )
