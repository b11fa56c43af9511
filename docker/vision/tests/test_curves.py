"""Learning curves as a drawing: axes with round numbers, in the colours of the reader's scheme."""

from xml.etree import ElementTree

import pytest

from vision.models import curves

ROWS = [
    {"loss": 2 / epoch, "validation_loss": 2.2 / epoch, "accuracy": 1 - 0.9 / epoch, "lr": 0.005 / epoch}
    for epoch in range(1, 13)
]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.1, 2.1, [0.5, 1, 1.5, 2]),
        (1, 12, [5, 10]),
        (0.00042, 0.005, [0.001, 0.002, 0.003, 0.004, 0.005]),
        (0.3, 0.3, [0.3]),
    ],
)
def test_ticks_are_round_numbers(low, high, ticks):
    assert curves._ticks(low, high) == pytest.approx(ticks)


@pytest.mark.parametrize("epochs", [1, 2, 12])
def test_curves_have_ticks_and_colours_for_a_dark_page(epochs):
    svg = ElementTree.fromstring(curves.plot(ROWS[:epochs], 1))
    (style,) = (one.text for one in svg.iter() if one.tag.endswith("style"))
    assert "prefers-color-scheme: dark" in style
    assert not any(one.get("fill", "none") != "none" for one in svg.iter())
    assert sum(one.get("class") == "tick" for one in svg.iter()) >= (6 if epochs == 1 else 12)
