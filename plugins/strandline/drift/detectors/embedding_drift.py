"""Embedding drift: whether images of the same class look different to the model."""

import math
from dataclasses import dataclass

import numpy as np

from strandline.drift.detectors import permutation
from strandline.drift.detectors.sample import Floats, Integers, Sample

COMPARED_ROWS = 1000  # of each side: bounds the time, and how small a change is noticed


@dataclass(frozen=True)
class EmbeddingDrift:
    """`rows` of the window were drawn; `compared` of them met some of the `reference_rows` in their class. `distance`
    grows with the difference, from 0 to about 1, whatever the number of rows; it has no unit.
    """

    distance: float
    p_value: float
    rows: int
    compared: int
    reference_rows: int


def detect(window: Sample, reference: Sample, weights: Floats, seed: int = 0) -> EmbeddingDrift:
    """Whether images of the same class look different to the model, whatever the mix of classes.

    The statistic is the squared maximum mean discrepancy of embeddings, with a Gaussian kernel as wide as the median
    distance (Gretton et al., "A Kernel Two-Sample Test", JMLR 13, 2012), summed over predicted classes, scaled by their
    sizes so that all add a like amount of noise. Rows are permuted within predicted classes only, so that the number of
    rows in each has no say. The true classes behind a predicted one change with the mix, too: reference rows are
    thinned to the window's mix first, by `weights` [reference rows] of `shift_weights`; those of weight 0 are left out.
    The p-value is (1 + b) / (1 + B), exact but for the error of the weights (Phipson and Smyth, "Permutation P-values
    Should Never Be Zero", 2010). The distance is the root of the mean discrepancy, less that of permuted rows: noise
    does not add to it. Of each side at most COMPARED_ROWS rows are drawn.
    """
    rng = np.random.default_rng([seed, 2])
    drawn = rng.permutation(len(window.embeddings))[:COMPARED_ROWS]
    groups = [np.flatnonzero(_embedded(reference) == one) for one in range(reference.classes)]
    kept = rng.permutation(np.concatenate([_thin(rows, weights[rows], rng) for rows in groups]))[:COMPARED_ROWS]
    statistics, compared, sizes = np.zeros(1 + permutation.PERMUTATIONS), 0, 0.0
    for label in range(reference.classes):
        ours = window.embeddings[drawn[window.predicted[drawn] == label]]
        theirs = reference.embeddings[kept[reference.predicted[kept] == label]]
        if len(ours) and len(theirs):
            size = len(ours) * len(theirs) / (len(ours) + len(theirs))
            statistics += size * _discrepancies(ours, theirs, rng)
            compared, sizes = compared + len(ours), sizes + size
    excess = max(float(statistics[0] - statistics[1:].mean()), 0.0)
    distance = math.sqrt(excess / sizes) if sizes else 0.0
    return EmbeddingDrift(distance, permutation.p_value(statistics), len(drawn), compared, len(kept))


def most_changed(window: Sample, reference: Sample, count: int) -> Integers:
    """Row numbers of the window's images that show best what changed, the first most of all.

    Those with the largest witness: the mean of the kernel over the window's images of the predicted class, less that
    over the reference's (Gretton et al., 2012, section 2.3). Of classes that both sides have.
    """
    witness = np.full(len(window.embeddings), -np.inf)
    for label in range(reference.classes):
        (ours,), (theirs,) = (np.nonzero(_embedded(side) == label) for side in (window, reference))
        if len(ours) and len(theirs):
            kernel = _kernel(np.concatenate([window.embeddings[ours], reference.embeddings[theirs]]))[: len(ours)]
            witness[ours] = kernel[:, : len(ours)].mean(axis=1) - kernel[:, len(ours) :].mean(axis=1)
    order: Integers = np.argsort(-witness, kind="stable")[:count]
    return order.compress(np.isfinite(witness[order]))


def _embedded(sample: Sample) -> Integers:
    """Predicted classes of the rows that have embeddings."""
    return sample.predicted[: len(sample.embeddings)]


def _thin(rows: Integers, weights: Floats, rng: np.random.Generator) -> Integers:
    """Keep each row with a probability in proportion to its weight: rejection sampling."""
    return rows.compress(rng.random(len(rows)) * weights.max(initial=0) < weights)


def _discrepancies(ours: Floats, theirs: Floats, rng: np.random.Generator) -> Floats:
    """Squared discrepancies [1 + permutations] of two groups, first as they are."""
    a, b = len(ours), len(theirs)
    kernel = _kernel(np.concatenate([ours, theirs]))
    sides = np.tile(np.repeat(np.array([1 / a, -1 / b], np.float32), [a, b]), (1 + permutation.PERMUTATIONS, 1))
    rng.permuted(sides[1:], axis=1, out=sides[1:])
    squared: Floats = np.maximum(((sides @ kernel) * sides).sum(axis=1), 0)
    return squared


def _kernel(rows: Floats) -> Floats:
    """Gaussian, as wide as the median distance, [n, n]."""
    rows = rows.astype(np.float32)
    squares = np.square(rows).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * rows @ rows.T, 0)
    kernel: Floats = np.exp(-distances / max(float(np.median(distances[np.triu_indices(len(rows), 1)])), 1e-12))
    return kernel
