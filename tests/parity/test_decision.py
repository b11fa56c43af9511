"""What passes, on counts of every kind; and that a number of images which is asked for is enough."""

import re

import pytest
from parities import agreement, lost

from strandline.parity.decision import decide


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (agreement(), "pass"),
        (agreement(golden_difference=None), "pass"),
        (agreement(largest_difference=1e-4), "pass"),
        (agreement(largest_difference=1.1e-4), "fail"),
        (agreement(golden_difference=1.1e-4), "fail"),
        (lost(10_000, 1), "pass"),
        (lost(10_000, 1, 1), "not enough evidence"),
        (lost(10_000, 5, 5), "fail"),
        (lost(1_000, 0, 1), "not enough evidence"),
        (lost(1_000, 0, 1, largest_difference=0.3), "fail"),
    ],
)
def test_f32_has_to_say_the_same(found, outcome):
    assert decide("f32", found).outcome == outcome


BF16 = {"largest_difference": 0.2, "golden_difference": 0.01}


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (lost(10_000, 10, 8, **BF16), "pass"),
        (lost(10_000, 24, 25, **BF16), "pass"),
        (lost(10_000, 26, 25, **BF16), "not enough evidence"),  # of labels: 99.49 %
        (lost(10_000, 40, 40, **BF16), "fail"),
        (lost(10_000, 20, 2, **BF16), "not enough evidence"),
        (lost(10_000, 45, 0, **BF16), "fail"),  # 0.45 points worse
        (lost(10_000, 10, 8, largest_difference=0.2, golden_difference=0.2), "fail"),
        (agreement(1_900, **BF16), "not enough evidence"),
        (agreement(1_950, **BF16), "pass"),
        (agreement(16, **BF16), "not enough evidence"),
    ],
)
def test_bf16_has_to_be_as_good_beyond_chance(found, outcome):
    assert decide("bf16", found).outcome == outcome


def test_a_decision_is_said_in_a_sentence():
    assert decide("f32", agreement(largest_difference=2e-6)).sentence == (
        "Of 4,000 labelled images 4,000 have the reference's label (100.00%; 99.99% are needed); probabilities are up"
        " to 2e-06 off (0.0001 is allowed)."
    )
    assert decide("bf16", lost(10_000, 20, 2, **BF16)).sentence.startswith(
        "Of 10,000 labelled images 9,978 have the reference's label (99.78%; 99.50% are needed); accuracy is 89.82%,"
        " the reference's 90.00%: −0.18 points (−0.29 to −0.10), of which 0.2 may be lost"
    )
    assert (
        "of golden images they are up to 0.2 off (0.1 is allowed)"
        in decide("bf16", agreement(golden_difference=0.2)).sentence
    )


@pytest.mark.parametrize("images", [16, 500, 1_000, 1_900])
def test_as_many_images_as_are_asked_for_are_enough_if_none_is_lost(images):
    (more,) = re.findall(r"a holdout of about ([\d,]+) labelled images", decide("bf16", agreement(images)).sentence)
    assert images < int(more.replace(",", "")) < 10_000
    assert decide("bf16", agreement(int(more.replace(",", "")))).outcome == "pass"
