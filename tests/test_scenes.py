"""Near duplicates of a run: hashes by the hundred thousand."""

import time

import numpy as np
import pyarrow as pa
import pytest

from strandline import scenes

LOOK = 0x0F0F0F0F0F0F0F0F


def flipped(hashes: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    """The hashes with up to so many bits turned over."""
    rng = np.random.default_rng(seed)
    for _ in range(most):
        hashes = hashes ^ (np.uint64(1) << rng.integers(0, 64, len(hashes), dtype=np.uint64))
    return hashes


def drawn(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


def by_all_pairs(hashes: np.ndarray) -> np.ndarray:
    scene = np.arange(len(hashes))
    near = np.bitwise_count(hashes[:, None] ^ hashes) <= scenes.NEAR
    while True:
        lowest = np.where(near, scene, len(scene)).min(axis=1)
        if (lowest == scene).all():
            return scene
        scene = lowest


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two numberings are of the same scenes."""
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


@pytest.mark.parametrize("most", [0, 2, 4, 6])
def test_scenes_are_those_that_all_pairs_give(most):
    hashes = flipped(np.repeat(drawn(300), 5), most)
    assert same(scenes.linked(hashes), by_all_pairs(hashes))


@pytest.mark.parametrize("bits", range(6))
def test_up_to_four_bits_apart_is_near_wherever_they_are(bits):
    rng = np.random.default_rng(bits)
    for _ in range(300):
        places = rng.choice(64, bits, replace=False)
        other = LOOK ^ sum(1 << int(place) for place in places)
        one, two = scenes.linked(np.array([LOOK, other], np.uint64))
        assert (one == two) == (bits <= scenes.NEAR)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_few_hashes_have_their_scenes(count):
    assert len(set(scenes.linked(drawn(count)).tolist())) == count


@pytest.mark.parametrize(
    ("hashes", "expected"),
    [
        (drawn(100_000), 100_000),
        (flipped(np.repeat(drawn(20_000), 5), 2), 20_000),
        (np.full(100_000, LOOK, np.uint64), 1),
        (flipped(np.full(100_000, LOOK, np.uint64), 3), 1),
    ],
    ids=["different", "bursts of five", "the same", "one scene"],
)
def test_a_hundred_thousand_pictures_take_seconds(hashes, expected):
    started = time.process_time()
    assert len(np.unique(scenes.linked(hashes))) == expected
    assert time.process_time() - started < 20


def table(rows: list[tuple[str, str, float, int | None]]) -> tuple[pa.Table, pa.Table]:
    """Entries and outcomes of `state`, `image_id`, `contrast` and `dhash`."""
    states, images, contrasts, hashes = zip(*rows, strict=True)
    columns = {"image_id": images, "contrast": pa.array(contrasts, pa.float32()), "dhash": pa.array(hashes, pa.int64())}
    return pa.table(columns), pa.table({"state": states})


def test_only_accepted_pictures_that_tell_something_are_compared():
    rows = [
        ("accepted", "a", 0.2, LOOK),
        ("accepted", "b", 0.2, LOOK ^ 1),
        ("quarantined", "c", 0.2, LOOK),
        ("accepted", "d", 0.2, None),  # packed before there were hashes
        ("accepted", "e", 0.01, LOOK),  # hardly any contrast
        *[("accepted", f"flat-{bits}", 0.2, bits) for bits in (0, 1, 0xFF, -1, -2, -256)],
        ("accepted", "a", 0.2, LOOK),
        ("accepted", "f", 0.2, ~LOOK),
    ]
    assert scenes.find(*table(rows)) == scenes.Scenes(3, 2, [[0, 1, len(rows) - 2]])


def test_nothing_is_found_where_nothing_can_be_compared():
    for rows in ([("accepted", "a", 0.2, None)], [("rejected", "a", 0.2, LOOK)]):
        assert scenes.find(*table(rows)) == scenes.Scenes(0, 0, [])
