"""Near duplicates: bursts of real predictions. The champion's reference profile holds predictions and measures of real
images: one half is the reference, scenes are drawn from the other. Their frames differ as those of photographs that
are moved by a pixel, with noise: `make bench-drift` measures it on pixels.
"""

import drift_windows as drifting
import numpy as np
import pytest

from strandline.drift import detectors, near_duplicates, windows
from strandline.drift.detectors import label_shift, permutation
from strandline.drift.detectors.sample import Sample
from strandline.drift.near_duplicates import LOOKS, distinct

CONFUSION = np.array(drifting.json.loads((drifting.BUNDLE / "metrics.json").read_bytes())["confusion"])
FRAME = 0.1, 0.05  # standard deviations of frames: of embeddings in median distances, of looks in their own


def data_of(table) -> windows.Data:
    predicted = np.array([drifting.CLASSES.index(label) for label in table["label"].to_pylist()])
    probabilities, embeddings = (np.array(table[name].to_pylist()) for name in ("probabilities", "embedding"))
    measures = {name: table[name].to_numpy().astype(float) for name in windows.MEASURES}
    return windows.Data(Sample(predicted, probabilities, embeddings), measures)


@pytest.fixture(scope="module")
def halves():
    return tuple(data_of(half) for half in drifting.halves())


def frames(
    scenes: windows.Data,
    reference: windows.Data,
    of_each: int,
    seed: int,
    apart: float = FRAME[0],
    differ: float = FRAME[1],
) -> tuple[windows.Data, np.ndarray]:
    """Frames of each scene in random order, and the numbers of their scenes."""
    rng = np.random.default_rng([4, seed])
    numbers = rng.permutation(np.repeat(np.arange(len(scenes.sample)), of_each))
    burst = scenes.rows(numbers)
    features = burst.sample.embeddings.shape[1]
    moved = rng.normal(0, apart * near_duplicates._median_distance(reference) / features**0.5, (len(numbers), features))
    looks = {
        name: burst.measures[name] + rng.normal(0, differ * reference.measures[name].std(), len(numbers))
        for name in LOOKS
    }
    sample = Sample(burst.sample.predicted, burst.sample.probabilities, burst.sample.embeddings + moved)
    return windows.Data(sample, burst.measures | looks), numbers


def drawn(source: windows.Data, rows: int, seed: int) -> windows.Data:
    return source.rows(np.random.default_rng([5, seed]).permutation(len(source.sample))[:rows])


def test_five_frames_of_each_of_sixty_scenes_are_sixty_images(halves):
    reference, source = halves
    burst, numbers = frames(drawn(source, 60, 0), reference, 5, 0)
    kept = distinct(burst, reference)
    assert set(numbers[kept]) == set(range(60))
    assert len(kept) <= 62


def test_frames_with_something_new_at_their_edges_are_one_image_still(halves):
    reference, source = halves
    burst, numbers = frames(drawn(source, 60, 0), reference, 5, 0, differ=0.16)
    kept = distinct(burst, reference)
    assert set(numbers[kept]) == set(range(60))
    assert len(kept) <= 62


def test_different_photographs_stay_and_so_do_most_that_are_hard_to_tell_apart(halves):
    reference, source = halves
    assert len(distinct(source, reference)) > 0.98 * len(source.sample)
    window = drawn(source, 500, 2)
    of = window.sample
    blurred = windows.Data(Sample(of.predicted, of.probabilities, 0.4 * of.embeddings), window.measures)
    assert len(distinct(blurred, reference)) > 0.5 * len(of)


def test_a_camera_that_stands_still_shows_one_image(halves):
    reference, source = halves
    burst, _ = frames(drawn(source, 1, 0), reference, 300, 0)
    assert len(distinct(burst, reference)) <= 2
    one = source.rows(np.zeros(1, int))
    assert distinct(one, one).tolist() == [0]


def test_of_a_scene_a_labelled_image_is_taken_before_others(halves):
    reference, source = halves
    scenes = drawn(source, 20, 1)
    copies = scenes.rows(np.tile(np.arange(20), 3))
    labelled = np.arange(60) // 20 == 1
    assert distinct(copies, reference, labelled).tolist() == list(range(20, 40))
    assert distinct(copies, reference).tolist() == list(range(20))


def test_unchanged_scenes_alarm_at_their_level_and_would_not_if_each_frame_counted(halves, monkeypatch):
    monkeypatch.setattr(permutation, "PERMUTATIONS", 199)
    monkeypatch.setattr(label_shift, "RESAMPLES", 50)
    reference, source = halves
    alarms = {"scenes": 0, "frames": 0}
    for seed in range(20):
        burst, _ = frames(drawn(source, 120, seed), reference, 5, seed, 0.01)  # more noise is another image
        for name, window in (("scenes", burst.rows(distinct(burst, reference))), ("frames", burst)):
            found = detectors.measure(window.sample, reference.sample, CONFUSION, 0.05)
            alarms[name] += (found.label_shift.p_value <= 0.05) + (found.embedding_drift.p_value <= 0.05)
    assert alarms["scenes"] <= 7  # of 40 tests; 2 are expected, and more than 7 with a probability of 0.001
    assert alarms["frames"] >= 25
