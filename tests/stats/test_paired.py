"""Statistics of pairs against closed forms, published examples, and probabilities summed over every table."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from strandline.stats import calibration, estimates, paired
from strandline.stats.paired import Pairs

ALPHA = 0.025
QUANTILE = stats.norm.ppf(1 - ALPHA)


@st.composite
def tables(draw):
    rows = draw(st.integers(1, 2000))
    gained = draw(st.integers(0, rows))
    return Pairs(rows, gained, draw(st.integers(0, rows - gained)))


def every_table(rows, gains, losses):
    """All tables of so many rows, each with its probability, where one model alone is right on such shares."""
    for gained in range(rows + 1):
        for lost in range(rows + 1 - gained):
            yield (
                Pairs(rows, gained, lost),
                stats.multinomial.pmf([gained, lost, rows - gained - lost], rows, [gains, losses, 1 - gains - losses]),
            )


@pytest.mark.parametrize(
    ("pairs", "low", "high", "p_value"),
    [
        (Pairs(21, 1, 7), -0.517, -0.026, 0.070),  # Bentur et al. 2009, in Fagerland, Lydersen, Laake 2013 and 2014
        (Pairs(161, 6, 16), -0.1240, -0.0054, 0.052479),  # Cavo et al. 2012, in Fagerland, Lydersen, Laake 2017
    ],
)
def test_published_tables(pairs, low, high, p_value):
    found = pairs.interval(ALPHA)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)
    assert pairs.p_different() == pytest.approx(p_value, abs=5e-4)


@pytest.mark.parametrize("rows", [1, 10, 1000])
def test_the_interval_where_the_models_never_differ(rows):
    found, half = Pairs(rows, 0, 0).interval(ALPHA), QUANTILE**2 / (rows + QUANTILE**2)
    assert (found.low, found.value, found.high) == pytest.approx((-half, 0, half))


@settings(deadline=None)
@given(tables(), st.sampled_from([0.1, 0.025, 0.001]))
def test_the_interval_is_what_the_test_does_not_reject(pairs, alpha):
    found, quantile = pairs.interval(alpha), stats.norm.ppf(1 - alpha)
    assert -1 <= found.low <= found.value <= found.high <= 1
    if found.low > -1:
        assert pairs.z(found.low) == pytest.approx(quantile, abs=1e-4)
        assert pairs.p_below(found.low - 1e-9) > 0.5
    if found.high < 1:
        assert pairs.z(found.high) == pytest.approx(-quantile, abs=1e-4)
        assert pairs.p_below(found.high) == pytest.approx(alpha, rel=1e-3)


@settings(deadline=None)
@given(tables())
def test_the_models_may_change_places(pairs):
    found, mirrored = pairs.interval(ALPHA), Pairs(pairs.rows, pairs.lost, pairs.gained).interval(ALPHA)
    assert (-mirrored.high, -mirrored.value, -mirrored.low) == pytest.approx((found.low, found.value, found.high))


def test_no_rows_say_nothing():
    empty = Pairs.of(np.zeros(0, bool), np.zeros(0, bool))
    found = empty.interval(ALPHA)
    assert (found.low, found.high) == (-1, 1)
    assert empty.p_below(-0.5) == empty.p_different() == estimates.p_below(0, 0, 0.5) == 1
    assert (estimates.share(0, 0, ALPHA).low, estimates.share(0, 0, ALPHA).high) == (0, 1)


def test_pairs_are_counted():
    champion, challenger = np.array([1, 1, 1, 0, 0, 0], bool), np.array([1, 0, 0, 1, 0, 0], bool)
    assert Pairs.of(champion, challenger) == Pairs(6, gained=1, lost=2)


@pytest.mark.parametrize(
    ("gains", "losses"), [(0.02, 0.02), (0.05, 0.05), (0.02, 0.07), (0.1, 0.2), (0.0, 0.05), (0.3, 0.3)]
)
def test_each_limit_errs_as_often_as_it_may(gains, losses):
    """Summed over every table: the score interval keeps its level on average and near it everywhere."""
    truth, below, above = gains - losses, 0.0, 0.0
    for pairs, probability in every_table(40, gains, losses):
        if probability > 1e-9:
            found = pairs.interval(ALPHA)
            below += probability * (found.high < truth)
            above += probability * (found.low > truth)
    assert below + above < 2 * ALPHA + 0.015
    assert max(below, above) < ALPHA + 0.025


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3])
def test_equal_models_are_seldom_called_different(share):
    found = sum(probability for pairs, probability in every_table(40, share, share) if pairs.p_different() <= 2 * ALPHA)
    assert found <= 2 * ALPHA


@pytest.mark.parametrize(("hits", "rows"), [(0, 10), (3, 10), (10, 10), (811, 900)])
def test_exact_statistics_are_scipy_s(hits, rows):
    test = stats.binomtest(hits, rows, 0.9, alternative="less")
    interval = stats.binomtest(hits, rows).proportion_ci(1 - 2 * ALPHA, "exact")
    found = estimates.share(hits, rows, ALPHA)
    assert (found.low, found.value, found.high) == pytest.approx((interval.low, hits / rows, interval.high))
    assert estimates.p_below(hits, rows, 0.9) == pytest.approx(test.pvalue)
    assert Pairs(1000, hits, rows - hits).p_different() == pytest.approx(stats.binomtest(hits, rows).pvalue)


def test_the_exact_interval_of_a_share():
    assert estimates.share(0, 50, ALPHA).high == pytest.approx(1 - ALPHA ** (1 / 50))
    assert estimates.share(50, 50, ALPHA).low == pytest.approx(ALPHA ** (1 / 50))


@settings(deadline=None)
@given(st.integers(1, 500), st.data())
def test_a_share_is_below_where_its_interval_is(rows, data):
    hits, bound = data.draw(st.integers(0, rows)), data.draw(st.floats(0.01, 0.99))
    high = estimates.share(hits, rows, ALPHA).high
    if abs(high - bound) > 1e-6:
        assert (estimates.p_below(hits, rows, bound) <= ALPHA) == (high < bound)


def test_labels_from_nothing_are_those_of_the_textbook():
    expected = (QUANTILE + stats.norm.ppf(paired.POWER)) ** 2 * 0.05 / 0.02**2
    assert paired.more_labels(0, 0, -0.02, 0, 0.05, ALPHA) == math.ceil(expected)


def test_labels_show_it_as_often_as_promised():
    rng, first, rate, margin = np.random.default_rng(1), Pairs(1000, 20, 32), 0.05, 0.02
    more = paired.more_labels(1000, first.difference, -margin, 0.0, rate, ALPHA)
    drawn = rng.multinomial(more, [rate / 2, rate / 2, 1 - rate], 2000)
    shown = [Pairs(1000 + more, 20 + g, 32 + lost).interval(ALPHA).low >= -margin for g, lost, _ in drawn]
    # A little less often: the score test takes its variance at the margin, where it is larger.
    assert np.mean(shown) == pytest.approx(paired.POWER, abs=0.05)


def test_no_number_of_labels_shows_what_is_not_so():
    assert paired.more_labels(1000, -0.01, -0.02, -0.02, 0.05, ALPHA) is None
    assert paired.more_labels(1000, -0.01999, -0.02, -0.01999, 0.05, ALPHA) is None


@settings(deadline=None)
@given(st.integers(0, 5000), st.floats(-0.05, 0.05), st.floats(0.001, 0.3))
def test_one_label_fewer_would_not_do(rows, value, variance):
    more = paired.more_labels(rows, value, -0.02, 0.0, variance, ALPHA)
    assert more >= 1
    power = [
        stats.norm.cdf(
            (rows * (value + 0.02) + 0.02 * extra - QUANTILE * math.sqrt(variance * (rows + extra)))
            / math.sqrt(variance * extra)
        )
        for extra in (more, more - 1)
        if extra
    ]
    assert power[0] >= paired.POWER - 1e-9
    assert len(power) == 1 or power[1] <= paired.POWER + 1e-9 or rows * (value + 0.02) > 0


@pytest.mark.parametrize(("hits", "rows"), [(0, 0), (2, 1), (-1, 5)])
def test_wilson_refuses_what_is_no_share(hits, rows):
    with pytest.raises(ValueError, match="is no share"):
        estimates.wilson(hits, rows)


def test_reliability_and_its_error():
    confidence, right = np.array([1.0, 0.95, 0.5, 0.5]), np.array([1, 0, 1, 1], bool)
    bins = calibration.reliability(confidence, right)
    assert [(bin_.rows, bin_.confidence, bin_.accuracy) for bin_ in bins] == [(2, 0.5, 1.0), (2, 0.975, 0.5)]
    assert calibration.calibration_error(confidence, right) == pytest.approx((2 * 0.5 + 2 * 0.475) / 4)
    assert calibration.calibration_error(confidence[:0], right[:0]) == 0


def test_the_change_of_calibration_holds_the_truth():
    """The champion is 0.03 too sure, the challenger 0.09."""
    rng, missed, times = np.random.default_rng(2), 0, 100
    for seed in range(times):
        confidence = rng.uniform(0.5, 0.9, 4000)
        right = rng.random(4000) < confidence - 0.03
        found, _ = calibration.calibration_change((confidence, right), (confidence + 0.06, right), ALPHA, seed)
        missed += not found.low <= 0.06 <= found.high
        assert found.low <= found.value <= found.high
    assert missed <= stats.binom.ppf(0.999, times, 2 * ALPHA)


def test_the_change_of_calibration_comes_from_its_seed():
    rng = np.random.default_rng(3)
    sides = [(rng.random(300), rng.random(300) < 0.5) for _ in range(2)]
    before, after = sides
    found = [calibration.calibration_change(before, after, ALPHA, 1) for _ in range(2)]
    assert found[0] == found[1]
    assert calibration.calibration_change(sides[0], sides[0], ALPHA)[0] == estimates.Estimate(0, 0, 0)


def test_the_ratio_holds_the_truth_among_rounds_that_something_else_slows():
    rng, missed, times = np.random.default_rng(4), 0, 400
    for _ in range(times):
        slowed = np.exp(rng.standard_t(2, (2, 100)) / 4)  # of no finite variance
        found = paired.ratio(0.01 * slowed[0], 0.011 * slowed[1], ALPHA)
        missed += not found.low <= 1.1 <= found.high
        assert found.low <= found.value <= found.high
        assert found.high / found.low < 2
    assert missed <= stats.binom.ppf(0.999, times, 2 * ALPHA)


def test_the_interval_of_the_ratio_is_the_sign_test_s():
    ratios = np.random.default_rng(5).lognormal(size=40)
    found = paired.ratio(np.ones(40), ratios, ALPHA)
    sides = [(ratios < found.low, ratios <= found.low), (ratios > found.high, ratios >= found.high)]
    for beyond, at in sides:
        assert stats.binom.cdf(beyond.sum(), 40, 0.5) <= ALPHA < stats.binom.cdf(at.sum(), 40, 0.5)
    assert found.value == np.median(ratios)


TOO_FEW = [1.0] * (paired.fewest_rounds(ALPHA) - 1)


@pytest.mark.parametrize(
    ("champion", "challenger"),
    [(TOO_FEW, TOO_FEW), ([1.0, *TOO_FEW], TOO_FEW), ([0.0, *TOO_FEW], [1.0, *TOO_FEW])],
)
def test_no_ratio_of_too_few_or_empty_rounds(champion, challenger):
    with pytest.raises(ValueError, match="round"):
        paired.ratio(np.array(champion), np.array(challenger), ALPHA)
