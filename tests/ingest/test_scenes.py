"""Near duplicates of a run: hashes by the hundred thousand, and real photographs that are packed and validated."""

import csv
import importlib.util
import os
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ledger_rows as seeding
import numpy as np
import pyarrow as pa
import pytest
from image_files import pack_request_of

import strandline_contract as contract
from strandline import settings
from strandline.attempts import SealedAttempt
from strandline.ingest import scenes, validation
from strandline.operators.process import ProcessOperator

RUN_ID = "manual__2026-11-21T08:00:00+00:00"
SHARD = "5" * 64
LOOK = 0x0F0F0F0F0F0F0F0F
# Squares of two photographs, each as it is and changed as the frames of a camera differ; and flat images.
PICTURES = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
rng, folder, side, number = np.random.default_rng(0), Path(sys.argv[1]), 100, 0
folder.mkdir(parents=True)
def save(name, levels, **options):
    Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8)).save(folder / name, **options)
for path in sys.argv[2:]:
    photograph = np.asarray(Image.open(path).convert("RGB")).astype(float)
    for top in range(0, photograph.shape[0] - side + 1, side):
        for left in range(0, photograph.shape[1] - side + 1, side):
            square, number = photograph[top : top + side, left : left + side], number + 1
            save(f"{number}-as-it-is.png", square)
            save(f"{number}-with-noise.png", square + rng.normal(0, 6, square.shape))
            save(f"{number}-saved-again.jpg", square, quality=75)
            save(f"{number}-lighter.png", square + 20)
across = np.linspace(-1, 1, side)[:, None]
for number in range(25):
    plain = np.ones((side, side, 3)) * rng.integers(30, 220, 3)
    save(f"flat-{number}-plain.png", plain)
    save(f"flat-{number}-plain.jpg", plain, quality=75)
    save(f"flat-{number}-noise.png", plain + rng.normal(0, 3, plain.shape))
    save(f"flat-{number}-ramp.png", plain + rng.uniform(-30, 30) * across)
    save(f"flat-{number}-vignette.png", plain - rng.uniform(5, 15) * (across**2 + across[:, None] ** 2))
    plain[rng.integers(20, 80) :] = rng.integers(0, 256, 3)
    save(f"flat-{number}-horizon.png", plain)
"""


@pytest.fixture
def config(tmp_path, monkeypatch) -> Iterator[settings.Settings]:
    monkeypatch.setenv("STRANDLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STRANDLINE_LANDING", str(tmp_path / "landing"))
    settings.get.cache_clear()
    yield settings.get()
    settings.get.cache_clear()


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
def test_a_hundred_thousand_images_are_linked(hashes, expected):
    assert len(np.unique(scenes.linked(hashes))) == expected


def table(rows: list[tuple[str, str, float, int | None]]) -> tuple[pa.Table, pa.Table]:
    """Entries and outcomes of `state`, `image_id`, `contrast` and `dhash`."""
    states, images, contrasts, hashes = zip(*rows, strict=True)
    columns = {"image_id": images, "contrast": pa.array(contrasts, pa.float32()), "dhash": pa.array(hashes, pa.int64())}
    return pa.table(columns), pa.table({"state": states})


def test_only_accepted_images_that_tell_something_are_compared():
    rows = [
        ("accepted", "a", 0.2, LOOK),
        ("accepted", "b", 0.2, LOOK ^ 1),
        ("quarantined", "c", 0.2, LOOK),
        ("accepted", "d", 0.2, None),  # of which nothing is said
        ("accepted", "e", 0.01, LOOK),  # hardly any contrast
        *[("accepted", f"flat-{bits}", 0.2, bits) for bits in (0, 1, 0xFF, -1, -2, -256)],
        ("accepted", "a", 0.2, LOOK),
        ("accepted", "f", 0.2, ~LOOK),
    ]
    assert scenes.find(*table(rows)) == scenes.Scenes(3, 2, [[0, 1, len(rows) - 2]])


def test_nothing_is_found_where_nothing_can_be_compared():
    for rows in ([("accepted", "a", 0.2, None)], [("rejected", "a", 0.2, LOOK)]):
        assert scenes.find(*table(rows)) == scenes.Scenes(0, 0, [])


def photographs() -> list[str]:
    """China and a flower, which come with scikit-learn."""
    spec = importlib.util.find_spec("sklearn")
    folder = Path(str(spec.submodule_search_locations[0])) / "datasets" / "images"
    return [str(folder / "china.jpg"), str(folder / "flower.jpg")]


def validated(config: settings.Settings, names: list[bytes]) -> dict[str, Any]:
    """Pack and validate these files as a run does."""
    folder = config.run_folder(RUN_ID)
    request = pack_request_of(config, SHARD, names, folder / "manifests" / f"{SHARD}.parquet")
    operator = ProcessOperator(task_id="pack", vision_command="pack", request=request)
    packed = operator.execute({"run_id": RUN_ID, "ti": SimpleNamespace(try_number=1)})
    run = seeding.listed_run(RUN_ID, len(names), ("cat",))
    validation.validate(run, [SealedAttempt.from_dict(packed)])
    return contract.parse_json((folder / "validation" / "validation.json").read_bytes())["near_duplicates"]


def test_of_real_photographs_frames_are_found_and_neither_others_nor_flat_images(config):
    folder = config.landing / "2026-11-21T08" / "cat"
    subprocess.run([config.vision.python, "-c", PICTURES, folder, *photographs()], check=True)
    names = sorted(os.fsencode(path.relative_to(config.landing)) for path in folder.iterdir())

    counted = validated(config, names)

    with (config.run_folder(RUN_ID) / "validation" / "near-duplicates.csv").open(newline="") as file:
        scene_of = {row["file"]: row["scene"] for row in csv.DictReader(file)}
    shown = defaultdict(set)
    for name, scene in scene_of.items():
        shown[scene].add(Path(name).name.partition("-")[0])
    assert all(len(squares) == 1 for squares in shown.values())  # no two different ones
    assert {"flat"} not in shown.values()
    # Of 48 squares with 4 frames each, 9 are sky or out of focus: they have too little contrast to be compared.
    assert 4 * 36 < counted["compared"] < 4 * 43
    assert 0.85 * counted["compared"] < counted["alike"] == len(scene_of)
    assert counted["scenes"] == len(shown)
