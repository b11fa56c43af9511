"""Which images of a window are nearly the same as others of it: frames of a burst, or of a camera that stands still.

Statistics count rows as drawn independently; a scene that comes in five frames is one draw and not five. With one row
of each scene the number of rows is the effective one: Kish's n / (1 + (m - 1) rho) for scenes of m frames that agree,
rho = 1 ("Survey Sampling", 1965, section 5.4), and to permute these rows is to permute whole scenes. Frames may differ
in what is predicted; then one of each scene is on the safe side.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from strandline.drift.detectors.sample import Integers
from strandline.drift.windows import Data

LOOKS = ("brightness", "contrast", "saturation", "sharpness")  # what a shift of the frame and noise hardly change
# Chosen on CIFAR-10: of two frames of a scene, moved by a pixel and with noise, 1.2 % are told apart, and of 120 scenes
# x 5 frames 120.4 are left; of 5,000 different photographs 4,932. What is left of a burst counts twice, which alarms;
# different images that are taken for one cost power. Embeddings alone would not do: the worse the images, the less
# a model tells them apart. Beside limits of 0.3 on each look but sharpness and on embeddings, one distance over all
# tells frames apart a third as often, and takes photographs for one half as often.
LOOK = 0.6  # standard deviations of the reference that two frames differ by in their looks, at the most
EMBEDDING = 0.35  # the same, in median distances of the reference's embeddings
WIDEST = 2  # a scene holds what is so many times that from its first row, at the most
PAIRS = 1000  # rows of the reference whose distances from as many others that is the median of
AXES = 8  # that rows are searched by: most of what tells them apart lies along a few


def distinct(window: Data, reference: Data, preferred: NDArray[np.bool_] | None = None) -> Integers:
    """Row numbers in order, one of each scene: a preferred row if it has one (with a label, say), else its first.

    A row that is in no scene yet begins one, of rows that are near it or near others of it: leader clustering
    (Hartigan, "Clustering Algorithms", 1975, chapter 3) by single linkage, within WIDEST. Linkage alone would make one
    scene of many images that are hard to tell apart.

    Args:
        reference: gives the scale of what is near.
        preferred: [rows].
    """
    # By these numbers two rows are near if they are at most 1 apart.
    embeddings = window.sample.embeddings / max(EMBEDDING * _median_distance(reference), 1e-9)
    scale = np.maximum(LOOK * _looks(reference).std(axis=0), 1e-3)
    # A look that either side lacks, since it is older than that statistic, tells nothing apart.
    looks = np.nan_to_num(_looks(window) / np.where(np.isnan(scale), np.inf, scale))
    rows = np.hstack([looks, embeddings]).astype(np.float32)

    def near(others: Integers, row: int, apart: float) -> NDArray[np.bool_]:
        within: NDArray[np.bool_] = np.linalg.norm(rows[others] - rows[row], axis=1) <= apart
        return within

    along = rows @ np.linalg.svd(rows[:PAIRS] - rows[:PAIRS].mean(axis=0), full_matrices=False)[2][:AXES].T
    tree, scenes = KDTree(along), np.full(len(rows), -1)
    for first in range(len(rows)):
        if scenes[first] >= 0:
            continue
        around = np.array(tree.query_ball_point(along[first], WIDEST * 1.001))  # no further than in all dimensions
        around = around[scenes[around] < 0]
        around = around[near(around, first, WIDEST)]
        scenes[first], found = first, [first]
        while found:
            joins = near(around, found.pop(), 1) & (scenes[around] < 0)
            scenes[around[joins]] = first
            found += around[joins].tolist()
    order = np.arange(len(scenes)) if preferred is None else np.argsort(~preferred, kind="stable")
    _, at = np.unique(scenes[order], return_index=True)
    return np.sort(order[at])


def _looks(data: Data) -> NDArray[np.floating]:
    return np.column_stack([data.measures[name] for name in LOOKS])


def _median_distance(reference: Data) -> float:
    """Between rows of the reference, whose order is random."""
    rows = reference.sample.embeddings[: 2 * PAIRS].astype(np.float32)
    half = len(rows) // 2
    return float(np.median(cdist(rows[:half], rows[half:]))) if half else 0.0
