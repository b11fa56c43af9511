"""What is done to images on purpose: each change is what it is called, and chance is a seed's."""

import dataclasses

import numpy as np
import pytest
from skimage import data

import strandline_contract as contract
from vision.models import corruptions

NOTHING = contract.Corruption(jpeg=0, webp=0, blur=0, brightness=0)


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    """64 x 64 pixels of a real one."""
    return np.ascontiguousarray(data.astronaut()[100:164, 200:264])


def corrupted(images: np.ndarray, seed: int = 0, **shares: float) -> np.ndarray:
    how = dataclasses.replace(NOTHING, **shares)
    return corruptions.corrupt(images, how, np.random.default_rng(seed))


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


def test_a_lower_quality_changes_more_and_keeps_the_picture(photograph):
    changes = [
        distance(photograph, corruptions.jpeg(photograph, quality, subsampled=False)) for quality in (95, 75, 30)
    ]
    assert 0 < changes[0] < changes[1] < changes[2] < 20
    assert 0 < distance(photograph, corruptions.webp(photograph, 75)) < 20


def test_subsampling_is_of_colours_alone():
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2, 0], stripes[:, 1::2, 2] = 200, 200
    kept, lost = (corruptions.jpeg(stripes, 95, subsampled) for subsampled in (False, True))
    assert distance(stripes, kept) < 5
    assert distance(stripes, lost) > 30
    grey = stripes.max(axis=2, keepdims=True).repeat(3, axis=2)
    assert distance(grey, corruptions.jpeg(grey, 95, subsampled=True)) < 5


def test_blur_and_brightness_do_what_they_say(photograph):
    blurred = [
        np.abs(np.diff(corruptions.blur(photograph, sigma).astype(float), axis=1)).mean() for sigma in (0.5, 1.0)
    ]
    assert np.abs(np.diff(photograph.astype(float), axis=1)).mean() > blurred[0] > blurred[1]
    half = corruptions.brighten(photograph, 0.5)
    np.testing.assert_allclose(half, photograph / 2, atol=0.5)
    assert corruptions.brighten(photograph, 3.0).max() == 255


def test_every_measured_change_changes_a_photograph(photograph):
    for name, change in corruptions.MEASURED.items():
        changed = change(photograph)
        assert (changed.shape, changed.dtype) == (photograph.shape, np.uint8), name
        assert 0 < distance(photograph, changed) < 80, name


def test_images_that_no_chance_hits_stay_as_they_are(photograph):
    images = np.stack([photograph] * 400)
    np.testing.assert_array_equal(corrupted(images), images)
    changed = (corrupted(images, jpeg=0.3) != images).any(axis=(1, 2, 3)).mean()
    assert 0.2 < changed < 0.4  # 4 standard errors
    assert (images == photograph).all()


def test_a_seed_decides_and_a_share_of_1_is_all(photograph):
    images = np.stack([photograph] * 8)
    np.testing.assert_array_equal(corrupted(images, jpeg=0.5, blur=0.5), corrupted(images, jpeg=0.5, blur=0.5))
    assert (corrupted(images, jpeg=0.5) != corrupted(images, seed=1, jpeg=0.5)).any()
    exact = corrupted(images, jpeg=1.0, subsampled=1.0, quality=(75, 75))
    np.testing.assert_array_equal(exact, np.stack([corruptions.jpeg(photograph, 75, subsampled=True)] * 8))


@pytest.mark.parametrize(
    "wrong",
    [
        {"jpeg": 0.7, "webp": 0.4},
        {"blur": -0.1},
        {"quality": (95, 30)},
        {"quality": (0, 50)},
        {"quality": (50,)},
        {"factor": 1.5},
    ],
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(contract.BadRequest):
        contract.Corruption(**wrong)
