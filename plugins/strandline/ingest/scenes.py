"""Which images of a run look nearly the same as others of it: unchanged frames of a camera, an image saved again.

Two images are near duplicates when at most NEAR bits of their difference hashes differ; a scene is all that hang
together by such pairs. Measured on the 60,000 photographs of CIFAR-10 (32 x 32): of 1.8e9 pairs 373 are found. The 164
whose pixels differ most were looked at: 19 show different things, as two skies with something dark in the middle. That
is one pair in 9e7; of 100,000 photographs, one is taken in error of 900. All others are CIFAR-10's own near duplicates.
Of the first 10,000, each beside a changed copy of itself, that copy is found: with noise of 4 grey levels 95 %, of 8
levels 86 %; as JPEG of quality 90 99 %, of 75 97 %; 20 levels lighter 98 %, darker 99 %. What is moved by a pixel of 32
is another image here (5 %).
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

NEAR = 4
# What has hardly any texture looks like all else that has none, and is not compared. Of 36 kinds of blank pages, skies
# and horizons, drawn 150 times each and with noise, these two leave no pair but of strong vignettes, which do look the
# same; of CIFAR-10 they pass over 84 photographs of 60,000.
TELLING = 12  # bits of a hash that are set, and bits that are not, at the least
CONTRAST = 0.03
BITS = 64 // (NEAR + 1)  # of a band: of NEAR + 1 bands, one at least is the same in two hashes that are near
WINDOW = 500  # hashes with the same band that one is compared with: more are so only in a scene, and chain up
AT_ONCE = 8


@dataclasses.dataclass(frozen=True)
class Scenes:
    """How many images (distinct contents) were compared; and the row numbers of the files of each scene that more
    than one of them shows, in the order of the rows.
    """

    compared: int
    alike: int
    rows: list[list[int]]


def find(entries: Any, outcomes: Any) -> Scenes:
    """The scenes among the accepted images.

    Args:
        entries, outcomes: tables with a row an entry, in the same order: `image_id`, `contrast` and `dhash`, which is
            null if it is not known; and `state`.
    """
    known = pc.and_(pc.equal(outcomes["state"], "accepted"), entries["dhash"].is_valid())
    rows = np.flatnonzero(known.to_numpy())
    chosen = entries.select(["image_id", "contrast", "dhash"]).take(rows)
    hashes = chosen["dhash"].to_numpy().view(np.uint64)
    ones = np.bitwise_count(hashes)
    tells = (ones >= TELLING) & (ones <= 64 - TELLING) & (chosen["contrast"].to_numpy() >= CONTRAST)
    rows, hashes = rows[tells], hashes[tells]
    images = chosen["image_id"].filter(tells).combine_chunks().dictionary_encode().indices.to_numpy()
    _, first = np.unique(images, return_index=True)
    scenes = linked(hashes[first])
    alike = np.bincount(scenes, minlength=1)[scenes] > 1
    by_scene: dict[int, list[int]] = {}
    for row, image in zip(rows.tolist(), images.tolist(), strict=True):
        if alike[image]:
            by_scene.setdefault(int(scenes[image]), []).append(row)
    return Scenes(len(first), int(alike.sum()), list(by_scene.values()))


def linked(hashes: NDArray[np.uint64]) -> NDArray[np.intp]:
    """The number of each hash's scene: the same for two that are near, and for what they are linked to by others.

    For each band, hashes are compared with the next ones in an order in which those with the same band follow one
    another (the sorted neighbourhood of Hernandez and Stolfo, "The Merge/Purge Problem", 1995). So the time grows with
    n log n, whatever the hashes are.
    """
    distinct, at = np.unique(hashes, return_inverse=True)
    scenes = np.arange(len(distinct))
    for band in range(NEAR + 1):
        for one, other in _pairs(distinct, band * BITS):
            links = scenes[one], scenes[other]
            if (links[0] != links[1]).any():
                graph = coo_array((np.ones(len(one), bool), links), shape=(len(distinct), len(distinct)))
                scenes = connected_components(graph, directed=False)[1][scenes]
    return scenes[at]


def _pairs(hashes: NDArray[np.uint64], start: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Positions of hashes that are near, among those that have the same band of bits from `start` on."""
    turned = hashes << np.uint64(start) | hashes >> np.uint64(-start % 64)  # the band comes first
    order = np.argsort(turned)
    turned = turned[order]
    for steps in range(1, WINDOW + 1, AT_ONCE):
        found = []
        for step in range(steps, steps + AT_ONCE):
            apart = turned[step:] ^ turned[:-step]
            if not (apart >> np.uint64(64 - BITS) == 0).any():
                break
            near = np.flatnonzero(np.bitwise_count(apart) <= NEAR)
            found.append((order[near], order[near + step]))
        if not found:
            return
        yield np.concatenate([one for one, _ in found]), np.concatenate([other for _, other in found])
