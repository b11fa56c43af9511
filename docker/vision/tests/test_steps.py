"""Small batches give the bits of whole ones, or are not used."""

import numpy as np
import pytest
from served import CHAMPION, MODELS

import strandline_contract as contract
from vision import backends
from vision.backends.backend import Backend
from vision.models import bundles
from vision.models.golden import made_images
from vision.models.steps import Steps

WHOLE = 64


@pytest.fixture(scope="module", params=["openvino", "onnxruntime"])
def whole(request) -> Backend:
    return backends.start(bundles.load(MODELS, CHAMPION), contract.Runtime(request.param, threads=1, batch_size=WHOLE))


@pytest.mark.parametrize("count", [1, 3, 4, 7, 21])
def test_small_batches_give_the_bits_of_whole_ones(whole: Backend, count: int):
    steps = Steps(whole, (16, 4, 1))
    assert steps.sizes == [16, 4, 1]
    images = np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), np.uint8)
    [found] = steps.batches(images)
    assert [values.tobytes() for values in found] == [values.tobytes() for values in whole(images)]


def test_without_smaller_sizes_all_is_computed_in_whole_batches(whole: Backend):
    steps = Steps(whole, (WHOLE, 2 * WHOLE))
    assert steps.sizes == []
    assert sum(len(probabilities) for probabilities, _ in steps.batches(made_images(70, 32, 32))) == 70


def test_a_size_that_rounds_otherwise_is_not_used(whole: Backend, monkeypatch):
    exact = whole._answers

    def rounded(submitted):
        probabilities, embeddings = exact(submitted)
        return np.nextafter(probabilities, np.float32(1)), embeddings

    monkeypatch.setattr(whole, "_answers", rounded)
    assert Steps(whole, (4, 1)).sizes == []
