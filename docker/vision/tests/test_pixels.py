"""What is measured of pixels: the hash of what a picture looks like."""

import inputs
import numpy as np
import pytest
from conftest import Drop
from PIL import Image

from vision.decoding import pixels


def bits(hashes: np.ndarray) -> np.ndarray:
    return np.unpackbits(hashes.astype(">i8").view(np.uint8)).reshape(-1, 8, 8)


def of_picture(picture: np.ndarray) -> np.ndarray:
    return bits(pixels.dhash(pixels.luma(picture[None])))[0]


def test_a_bit_is_set_where_a_level_is_lighter_than_the_one_to_its_left():
    levels = np.random.default_rng(0).integers(0, 256, (100, 8, 9))
    found = bits(pixels.dhash(levels.astype(np.float32) / 255))
    for picture, hash_ in zip(levels, found, strict=True):
        assert hash_.tolist() == [[int(row[i + 1] > row[i]) for i in range(8)] for row in picture]


@pytest.mark.parametrize(("height", "width"), [(32, 32), (224, 224), (5, 300), (300, 5)])
def test_the_levels_are_those_of_pillow(height: int, width: int):
    picture = inputs.photo(width, height)
    small = np.asarray(Image.fromarray(picture).convert("L").resize((9, 8), Image.Resampling.LANCZOS)).astype(int)
    apart = small[:, 1:] - small[:, :-1]
    sure = np.abs(apart) > 2  # Pillow rounds in between
    assert sure.sum() > 20
    assert (of_picture(picture)[sure] == (apart > 0)[sure]).all()


@pytest.mark.parametrize("level", [0, 1, 127, 254, 255])
def test_what_is_flat_has_no_bit(level: int):
    assert not of_picture(np.full((32, 32, 3), level, np.uint8)).any()
    page = np.full((32, 32, 3), level, np.uint8)
    page[20:] = 255 - level
    assert not of_picture(page).any()


def test_a_ramp_has_all_bits():
    ramp = np.tile(np.linspace(0, 255, 32).astype(np.uint8)[:, None], (32, 1, 3))
    assert of_picture(ramp).all()
    assert not of_picture(ramp[:, ::-1]).any()


def test_each_decoded_file_has_the_hash_of_its_pixels(drop: Drop):
    for seed in range(100):
        drop.add(b"%d.png" % seed, inputs.encoded(inputs.photo(50, 40, seed), "PNG"))
    packed = drop.pack()
    for row in packed.outcomes:
        picture = np.frombuffer(packed.pixels(row["name"]), np.uint8).reshape(1, 32, 32, 3)
        assert row["dhash"] == pixels.dhash(pixels.luma(picture))[0]
