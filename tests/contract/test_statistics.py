"""The statistics that both environments have: this very file is run in both, since neither can import the other's."""

import itertools
import json
import math
import random
from pathlib import Path

import numpy as np
import pytest

try:
    from vision.models.metrics import BINS, calibration_error, wilson
except ModuleNotFoundError:
    from strandline.stats.calibration import BINS, calibration_error
    from strandline.stats.estimates import wilson

# The first four: R. G. Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17
# (1998), table I, method 3; the fifth mirrors the third. The ledger's interval is tested on all of them, too.
WILSON = json.loads(Path(__file__).resolve().with_name("statistics.json").read_bytes())["wilson"]
EDGES = [number / BINS for number in range(BINS + 1)]


@pytest.mark.parametrize(("hits", "rows", "low", "high"), WILSON)
def test_wilson_gives_the_published_intervals(hits, rows, low, high):
    assert wilson(hits, rows) == pytest.approx((low, high), abs=5.1e-5)


@pytest.mark.parametrize("rows", [1, 7, 1000, 10**9])
def test_wilson_stays_within_0_and_1(rows):
    assert 0 <= wilson(0, rows)[0] <= wilson(rows, rows)[1] <= 1


def by_definition(confidence, right):
    """Guo et al. (2017), equations 2 and 3: bin m has the rows with (m - 1) / M < confidence <= m / M."""
    error = 0.0
    for lower, upper in itertools.pairwise(EDGES):
        rows = [row for row, sure in enumerate(confidence) if lower < sure <= upper or lower == sure == 0]
        error += abs(sum(confidence[row] for row in rows) - sum(right[row] for row in rows))
    return error / len(confidence)


def confidences():
    rng = random.Random(0)
    beside = [math.nextafter(edge, to) for edge in EDGES for to in (0.0, 1.0)]
    return {
        "on every edge": EDGES,
        "beside every edge": beside,
        "on edges and beside": rng.choices(EDGES + beside, k=500),
        "coarse": [rng.randint(0, 10) / 10 for _ in range(500)],
        "of 32 bits": [float(np.float32(edge)) for edge in EDGES] * 20,
        "anything": [rng.random() for _ in range(500)],
    }


@pytest.mark.parametrize(("which", "confidence"), confidences().items(), ids=confidences())
def test_calibration_error_is_that_of_its_definition(which, confidence):
    rng = random.Random(which)
    for _ in range(20):
        right = [rng.random() < sure / 2 + 0.2 for sure in confidence]
        found = calibration_error(np.array(confidence), np.array(right))
        assert found == pytest.approx(by_definition(confidence, right), abs=1e-12)


def test_a_confidence_on_an_edge_is_of_the_bin_below_it():
    """Two rows whose gaps cancel out where they share a bin, and add up where they do not."""
    for lower, upper in itertools.pairwise(EDGES[1:]):
        inside = (lower + upper) / 2
        apart, together = (
            calibration_error(np.array([edge, inside]), np.array([False, True])) for edge in (lower, upper)
        )
        assert apart == pytest.approx((lower + 1 - inside) / 2)
        assert together == pytest.approx(abs(upper + inside - 1) / 2)


def test_it_is_the_same_of_32_bits():
    confidence = np.array([float(np.float32(edge)) for edge in EDGES])
    right = np.arange(len(confidence)) % 3 == 0
    assert calibration_error(confidence.astype(np.float32), right) == pytest.approx(
        calibration_error(confidence, right)
    )
