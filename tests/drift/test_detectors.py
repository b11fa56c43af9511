"""Statistics against closed forms, published numbers and simulated windows. The windows are drawn from the champion's
reference profile, which holds real predictions and embeddings: one half of it is the reference, the other the source.
"""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from strandline.drift import detectors
from strandline.drift.detectors import columns, embedding_drift, label_shift, performance, permutation, power, slices
from strandline.drift.detectors.sample import Sample
from strandline.drift.verdict import MINIMUM_ROWS, decide
from strandline.stats import calibration, multiplicity

BUNDLE = Path(__file__).parents[2] / "models/cifar_resnet20_v1"
CLASSES = json.loads((BUNDLE / "classes.json").read_bytes())
CONFUSION = np.array(json.loads((BUNDLE / "metrics.json").read_bytes())["confusion"])
ACCURACY = CONFUSION.trace() / CONFUSION.sum()
CAT, DOG = CLASSES.index("cat"), CLASSES.index("dog")
EVEN = np.full(10, 0.1)
ALPHA = multiplicity.alpha_per_window(1, 168, detectors.TESTS)


def sample(probabilities, embeddings, truth=None):
    return Sample(probabilities.argmax(axis=1), probabilities, embeddings, truth)


@pytest.fixture(scope="module")
def profile():
    import pyarrow.parquet as pq

    table = pq.read_table(BUNDLE / "reference.parquet", columns=["probabilities", "embedding", "true_label"])
    probabilities, embeddings, truth = (column.to_pylist() for column in table.columns)
    return sample(np.array(probabilities), np.array(embeddings), np.array([CLASSES.index(label) for label in truth]))


def parted(profile, seed=0):
    """The reference, and the source of windows."""
    return tuple(take(profile, part) for part in np.split(np.random.default_rng(seed).permutation(len(profile)), 2))


@pytest.fixture(scope="module")
def halves(profile):
    return parted(profile)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(permutation, "PERMUTATIONS", 199)
    monkeypatch.setattr(label_shift, "RESAMPLES", 100)


def take(source, rows):
    return sample(source.probabilities[rows], source.embeddings[rows], source.truth[rows])


def window_of(source, shares, rows, seed):
    """A random window with these shares of true classes. No row comes twice."""
    rng = np.random.default_rng([3, seed])
    weights = label_shift.shift_weights(source, shares, CONFUSION)
    kept = np.flatnonzero(rng.random(len(source)) * weights.max() < weights)
    return take(source, rng.permutation(kept)[:rows])


def worsened(window):
    """As bad images do: the model is unsure and embeddings shrink."""
    return sample(calibration.temper(window.probabilities, 4.0), window.embeddings * 0.8, window.truth)


def one_class(which, share):
    shares = np.full(10, (1 - share) / 9)
    shares[which] = share
    return shares


def at_most(rate, windows):
    """As many alarms of so many windows as come with a probability of 0.999 if they come at this rate."""
    return stats.binom.ppf(0.999, windows, rate)


# The mix of classes


@pytest.mark.parametrize("shares", [EVEN, one_class(CAT, 0.9), one_class(DOG, 1.0), np.eye(10)[[CAT, DOG]].sum(0) / 2])
def test_class_shares_inverts_the_confusion(shares):
    predicted = shares @ (CONFUSION / CONFUSION.sum(axis=1, keepdims=True))
    assert label_shift.class_shares(predicted, CONFUSION) == pytest.approx(shares, abs=1e-6)


def test_class_shares_of_what_no_mix_predicts_are_shares_still():
    shares = label_shift.class_shares(np.eye(10)[CAT], CONFUSION)  # cats alone would have some dogs predicted
    assert shares.min() >= 0
    assert shares.sum() == pytest.approx(1)
    assert shares.argmax() == CAT


@pytest.mark.parametrize("shares", [EVEN, one_class(CAT, 0.9), one_class(DOG, 1.0)], ids=["even", "most", "all"])
def test_the_likeliest_shares_are_nearer_than_those_of_the_confusion(profile, shares):
    found = []
    for seed in range(20):
        reference, source = parted(profile, seed)
        window = window_of(source, shares, 200, seed)
        truth = np.bincount(window.truth, minlength=10) / len(window)
        likeliest = label_shift.likeliest_shares(window, reference, CONFUSION)
        inverted = label_shift.class_shares(window.counts() / len(window), CONFUSION)
        found.append([np.abs(shares - truth).sum() / 2 for shares in (likeliest, inverted)])
        assert likeliest.sum() == pytest.approx(1)
    nearer, near = np.mean(found, axis=0)
    assert nearer < min(near, 0.05)


def test_the_mix_p_value_is_that_of_chi_square_where_counts_are_large():
    reference, window = np.full(10, 500), np.array([50, 50, 50, 50, 50, 50, 50, 50, 65, 35])
    expected = stats.chi2_contingency(np.array([window, reference])).pvalue
    assert label_shift.detect(window, reference, CONFUSION).p_value == pytest.approx(expected, abs=0.04)


def test_a_class_that_neither_side_predicted_is_no_trouble():
    counts, reference = np.array([20, 30, 0] + [0] * 7), np.array([200, 300, 0] + [0] * 7)
    assert label_shift.detect(counts, reference, CONFUSION).p_value == 1.0


@pytest.mark.parametrize(
    "shares",
    [EVEN, one_class(CAT, 0.2), one_class(CAT, 0.5), one_class(DOG, 0.9)],
    ids=["even", "twice", "half", "most"],
)
def test_intervals_of_a_mix_hold_the_truth(quick, shares):
    rng, windows = np.random.default_rng(5), 60
    recalls = CONFUSION / CONFUSION.sum(axis=1, keepdims=True)
    held, held_distance = [], []
    for seed in range(windows):
        # Another champion of the same quality, whose confusion matrix is measured on as many images.
        confusion = np.stack([rng.multinomial(1000, row) for row in recalls])
        window, reference = rng.multinomial(500, shares @ recalls), rng.multinomial(5000, EVEN @ recalls)
        mix = label_shift.detect(window, reference, confusion, seed)
        held.append([share.low <= truth <= share.high for share, truth in zip(mix.shares, shares, strict=True)])
        held_distance.append(mix.distance.low <= np.abs(shares - EVEN).sum() / 2 <= mix.distance.high)
    assert np.mean(held) > 0.86  # of 0.95; a class with a handful of images has the least
    assert np.mean(held_distance) > 0.85
    assert mix.distance.low <= mix.distance.value <= mix.distance.high


def test_an_unchanged_mix_seldom_alarms(quick):
    rng, windows = np.random.default_rng(6), 200
    predicted = CONFUSION.sum(axis=0) / CONFUSION.sum()
    found = [
        label_shift.detect(rng.multinomial(500, predicted), rng.multinomial(5000, predicted), CONFUSION, seed).p_value
        for seed in range(windows)
    ]
    assert sum(p_value <= 0.05 for p_value in found) <= at_most(0.05, windows)
    assert np.mean(found) == pytest.approx(0.5, abs=0.08)


# Slices


def test_a_source_that_changed_is_told_from_the_others(halves):
    """The p-values are those of the tests on its rows alone, adjusted for the number of all of them."""
    reference, source = halves
    window = take(source, np.r_[np.arange(600), np.flatnonzero(source.predicted == CAT)[:150]])
    labels = window.predicted.copy()
    labels[200:300] = (labels[200:300] + 1) % 10
    labels[300:] = -1
    rows = np.arange(750)
    masks = {"a": rows < 200, "b": (rows >= 200) & (rows < 300), "c": (rows >= 300) & (rows < 600), "d": rows >= 600}
    found = slices.measure(masks, window, reference, CONFUSION, labels)
    assert [one.rows for one in found.values()] == [200, 100, 300, 150]
    assert found["d"].predicted[CAT] == sum(found["d"].predicted) == 150
    assert [one.label_shift_p_value <= 0.01 for one in found.values()] == [False, False, False, True]
    assert found["d"].label_shift_p_value >= 5 / 2000  # the second of six tests: of four mixes and two accuracies
    assert [one.accuracy and one.accuracy.labelled for one in found.values()] == [200, 100, None, None]
    assert found["a"].accuracy_p_value > 0.5
    assert found["b"].accuracy_p_value < 1e-6
    alone = performance.realized(window.predicted[200:300], labels[200:300], CONFUSION)
    assert found["b"].accuracy == alone
    assert found["b"].accuracy_p_value == pytest.approx(6 * alone.p_value)


def test_sources_of_unchanged_windows_seldom_look_changed(halves):
    reference, source = halves
    rng, windows = np.random.default_rng(9), 40
    thirds = {str(number): np.arange(450) % 3 == number for number in range(3)}
    smallest = []
    for seed in range(windows):
        window = take(source, rng.permutation(len(source))[:450])
        found = slices.measure(thirds, window, reference, CONFUSION, np.full(450, -1), seed)
        smallest.append(min(one.label_shift_p_value for one in found.values()))
    assert sum(p_value <= 0.05 for p_value in smallest) <= at_most(0.05, windows)


# The images


def test_the_picture_p_value_is_that_of_all_permutations():
    rng = np.random.default_rng(8)
    ours, theirs = rng.normal(0.9, 1, (5, 3)), rng.normal(0, 1, (5, 3))
    rows = np.concatenate([ours, theirs])
    squared = ((rows[:, None] - rows) ** 2).sum(axis=2)
    kernel = np.exp(-squared / np.median(squared[np.triu_indices(10, 1)]))

    def discrepancy(mine):
        others = [row for row in range(10) if row not in mine]
        mean = lambda a, b: kernel[np.ix_(a, b)].mean()  # noqa: E731
        return mean(mine, mine) + mean(others, others) - 2 * mean(mine, others)

    every = [discrepancy(list(chosen)) for chosen in itertools.combinations(range(10), 5)]
    exact = np.mean(np.array(every) >= every[0] - 1e-9)
    certain = np.ones((5, 1))
    found = embedding_drift.detect(sample(certain, ours), sample(certain, theirs), np.ones(5))
    assert found.p_value == pytest.approx(exact, abs=0.04)
    assert found.distance == pytest.approx(np.sqrt(every[0] - np.mean(every)), rel=0.03)


@pytest.mark.parametrize("rows", [100, 400, 1600])
def test_the_distance_grows_neither_with_the_rows_nor_with_noise(quick, halves, rows):
    reference, source = halves

    def distance(change):
        changed = (change(window_of(source, EVEN, rows, seed)) for seed in range(5))
        found = [embedding_drift.detect(window, reference, np.ones(len(reference))) for window in changed]
        return np.median([one.distance for one in found])

    assert distance(worsened) == pytest.approx(0.25, abs=0.03)
    assert distance(lambda window: window) < 0.08


@pytest.mark.parametrize(
    "shares",
    [EVEN, one_class(CAT, 0.5), one_class(CAT, 0.9), np.eye(10)[[CAT, DOG]].sum(0) / 2],
    ids=["even", "half", "most", "two"],
)
def test_a_mix_alone_does_not_change_the_images(quick, profile, shares):
    """The halves are parted anew for each window: one half's few rows of a class would be in all of them."""
    found = []
    for seed in range(windows := 40):
        reference, source = parted(profile, seed)
        window = window_of(source, shares, 250, seed)
        found.append(detectors.measure(window, reference, CONFUSION, 0.05, seed=seed).embedding_drift.p_value)
    assert sum(p_value <= 0.05 for p_value in found) <= at_most(0.05, windows)


def test_a_profile_without_true_classes_has_the_models_word_for_them(quick, profile):
    found = []
    for seed in range(windows := 40):
        reference, source = parted(profile, seed)
        window = window_of(source, one_class(CAT, 0.5), 250, seed)
        unlabelled = sample(reference.probabilities, reference.embeddings)
        found.append(detectors.measure(window, unlabelled, CONFUSION, 0.05, seed=seed).embedding_drift.p_value)
    assert sum(p_value <= 0.05 for p_value in found) <= at_most(0.05, windows)


def test_reference_rows_of_a_class_that_the_window_cannot_have_are_left_out(halves):
    """Also where the model predicts that class: such a row of the window is a mistake."""
    reference, source = halves
    weights = label_shift.shift_weights(reference, np.eye(10)[CAT], CONFUSION)
    found = embedding_drift.detect(take(source, source.truth == CAT), reference, weights)
    assert found.reference_rows == (reference.truth == CAT).sum()


def test_without_weights_a_mix_would_pass_for_changed_images(quick, halves):
    reference, source = halves
    window = window_of(source, one_class(CAT, 0.9), 250, 0)
    assert embedding_drift.detect(window, reference, np.ones(len(reference))).p_value <= 0.01


@pytest.mark.parametrize("shares", [EVEN, one_class(CAT, 0.9)], ids=["even", "most"])
def test_changed_images_are_found_in_any_mix(halves, shares):
    reference, source = halves
    found = detectors.measure(worsened(window_of(source, shares, 200, 1)), reference, CONFUSION, ALPHA)
    assert found.embedding_drift.p_value <= ALPHA


def test_images_of_a_class_that_the_reference_lacks_are_not_compared(quick, halves):
    reference, source = halves
    lacking = take(reference, reference.predicted != CAT)
    found = embedding_drift.detect(take(source, source.predicted == CAT), lacking, np.ones(len(lacking)))
    assert (found.compared, found.p_value, found.distance) == (0, 1.0, 0.0)


# Accuracy


def test_the_most_changed_images_come_first(halves):
    reference, source = halves
    mixed = sample(source.probabilities[:400], source.embeddings[:400].copy())
    mixed.embeddings[:160] *= 0.5
    first = embedding_drift.most_changed(mixed, reference, 20)
    assert len(first) == 20
    assert np.mean(first < 160) > 0.9  # and 0.4 of the window


def test_images_of_classes_that_cannot_be_compared_are_not_called_changed(halves):
    reference, source = halves
    cats, dogs = (take(side, side.predicted == one) for side, one in ((source, CAT), (reference, DOG)))
    assert len(embedding_drift.most_changed(cats, dogs, 5)) == 0


def test_embeddings_of_the_first_rows_are_enough(halves):
    reference, source = halves
    partly = Sample(source.predicted, source.probabilities, source.embeddings[:300])
    found = embedding_drift.detect(partly, reference, np.ones(len(reference)))
    assert found == embedding_drift.detect(take(source, slice(300)), reference, np.ones(len(reference)))


def test_columns_alarm_at_their_level_together():
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(200):
        window, reference = ({name: rng.normal(size=n) for name in "abcde"} for n in (200, 500))
        alarms += min(columns.p_values(window, reference).values()) <= 0.05
    assert alarms <= at_most(0.05, 200)


def test_a_changed_column_is_found_and_an_empty_one_passed_over():
    rng = np.random.default_rng(0)
    window = {"same": rng.normal(size=500), "more": rng.normal(size=500) + 1, "none": np.full(500, np.nan)}
    reference = {"same": rng.normal(size=500), "more": rng.normal(size=500), "none": rng.normal(size=500)}
    found = columns.p_values(window, reference)
    assert found.keys() == {"same", "more"}
    assert found["more"] < 1e-6 < found["same"]


def test_temperature_makes_mean_confidence_the_accuracy(halves):
    probabilities = halves[0].probabilities
    degrees = calibration.temperature(probabilities, ACCURACY)
    assert calibration.temper(probabilities, degrees).max(axis=1).mean() == pytest.approx(ACCURACY, abs=1e-6)
    assert calibration.temper(calibration.temper(probabilities, 2.0), 0.5) == pytest.approx(probabilities, abs=1e-6)


@pytest.mark.parametrize(("accuracy", "nearest"), [(1.0, 0.05), (0.0, 20.0)])
def test_temperature_stays_in_bounds(halves, accuracy, nearest):
    assert calibration.temperature(halves[0].probabilities, accuracy) == pytest.approx(nearest, rel=0.01)


def test_the_reference_is_estimated_to_be_as_accurate_as_the_champion(halves):
    probabilities = halves[0].probabilities
    found = performance.estimated(probabilities, probabilities, np.ones(len(probabilities)), EVEN, CONFUSION)
    assert found.estimate.value == pytest.approx(ACCURACY, abs=1e-3)
    assert found.p_value == pytest.approx(0.5, abs=0.05)


def test_an_estimate_alarms_at_its_level_beside_a_small_reference(halves):
    everything, rng, runs = np.concatenate([half.probabilities for half in halves]), np.random.default_rng(12), 300
    found = []
    for _ in range(runs):
        rows = rng.permutation(len(everything))
        window, reference = everything[rows[:2000]], everything[rows[2000:2500]]
        found.append(performance.estimated(window, reference, np.ones(500), EVEN, CONFUSION).p_value)
    assert sum(p_value <= 0.05 for p_value in found) <= at_most(0.05, runs)


def test_a_mix_of_hard_classes_explains_a_lower_accuracy(halves):
    reference, source = halves
    found = detectors.measure(window_of(source, one_class(CAT, 0.9), 250, 2), reference, CONFUSION, ALPHA).estimated
    assert found.expected < 0.87
    assert found.estimate.low <= 0.84 <= found.estimate.high  # 0.81 of cats are recognised, and more of the others
    assert found.p_value > 0.01


def test_an_unsure_model_is_estimated_to_be_worse(halves):
    reference, source = halves
    found = detectors.measure(worsened(window_of(source, EVEN, 500, 3)), reference, CONFUSION, ALPHA).estimated
    assert found.fall > 0.1
    assert found.p_value < 1e-6
    assert found.estimate.high - found.estimate.value > 1.96 * performance.TRANSFER_ERROR * found.fall


def test_realized_performance_has_the_published_interval():
    """R. G. Newcombe, Statistics in Medicine 17 (1998), table I, method 3."""
    labels = np.full(263, CAT)
    predicted = np.where(np.arange(263) < 81, CAT, DOG)
    found = performance.realized(predicted, labels, CONFUSION)
    assert (found.estimate.low, found.estimate.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert found.expected == pytest.approx(0.81)
    assert found.labelled == 263


def test_realized_performance_alarms_at_its_level():
    rng, rows, runs = np.random.default_rng(9), 400, 1000
    recalls = CONFUSION.diagonal() / CONFUSION.sum(axis=1)
    alarms = 0
    for _ in range(runs):
        labels = rng.integers(10, size=rows)
        predicted = np.where(rng.random(rows) < recalls[labels], labels, (labels + 1) % 10)
        alarms += performance.realized(predicted, labels, CONFUSION).p_value <= 0.05
    assert alarms <= at_most(0.06, runs)
    assert alarms >= 0.02 * runs


@pytest.mark.parametrize("others", [500, 5000])
@pytest.mark.parametrize("rows", [100, 300, 2000])
def test_a_fall_alarms_at_the_level_of_a_window_in_small_windows_too(rows, others):
    """Exactly, over all counts; an approximation that knows no skew alarms up to 3.6 times as often."""
    found = np.arange(others + 1)
    likely = found[stats.binom.pmf(found, others, ACCURACY) > 1e-5]
    rates = []
    for one in likely[:: len(likely) // 20]:
        most = stats.betabinom.ppf(ALPHA, rows, one, others - one) - 1  # that still alarms, or one less
        most += performance.lower_tail(most + 1, rows, one / others, others) <= ALPHA
        assert performance.lower_tail(most, rows, one / others, others) <= ALPHA
        rates.append((stats.binom.pmf(one, others, ACCURACY), stats.binom.cdf(most, rows, ACCURACY)))
    weights, alarms = np.array(rates).T
    assert np.average(alarms, weights=weights) <= 1.35 * ALPHA
    assert np.average(alarms, weights=weights) >= 0.5 * ALPHA


def test_a_champion_without_an_error_has_a_tail_still():
    assert 0 < performance.lower_tail(95, 100, 1.0, 5000) < ALPHA
    assert performance.lower_tail(100, 100, 1.0, 5000) == pytest.approx(1)


def test_rows_without_a_label_do_not_count():
    labels = np.array([CAT, -1, DOG, -1])
    found = performance.realized(np.array([CAT, CAT, CAT, CAT]), labels, CONFUSION)
    assert (found.estimate.value, found.labelled) == (0.5, 2)
    assert performance.realized(labels, np.full(4, -1), CONFUSION) is None


# What a window can show


def test_a_detectable_fall_is_detected():
    rng, rows, runs = np.random.default_rng(10), 500, 4000
    fall = power.detectable(rows, 5000, CONFUSION, 0.01).accuracy_fall
    sure = rng.binomial(rows, ACCURACY - fall, runs) / rows
    usual = rng.binomial(5000, ACCURACY, runs) / 5000
    z = (usual - sure) / np.sqrt(usual * (1 - usual) * (1 / rows + 1 / 5000))
    assert (z >= stats.norm.isf(0.01)).mean() == pytest.approx(0.8, abs=0.06)


def test_a_detectable_mix_is_detected(quick):
    """Also the one that is hardest to see: half of the classes gain what the other half loses."""
    rng, rows, runs = np.random.default_rng(11), 500, 100
    recalls = CONFUSION / CONFUSION.sum(axis=1, keepdims=True)
    distance = power.detectable(rows, 5000, CONFUSION, 0.01).label_shift_distance
    shares = EVEN + distance / 5 * np.where(np.arange(10) % 2, 1, -1)
    found = [
        label_shift.detect(
            rng.multinomial(rows, shares @ recalls), rng.multinomial(5000, EVEN @ recalls), CONFUSION, run
        )
        for run in range(runs)
    ]
    assert np.mean([mix.p_value <= 0.01 for mix in found]) > 0.8
    assert np.mean([mix.distance.value for mix in found]) == pytest.approx(distance, abs=0.02)


def test_larger_windows_show_smaller_changes():
    sizes = [power.detectable(rows, 5000, CONFUSION, ALPHA) for rows in (50, 100, 500, 5000)]
    assert sizes == sorted(sizes, key=lambda one: (one.accuracy_fall, one.label_shift_distance), reverse=True)
    assert power.detectable(MINIMUM_ROWS, 5000, CONFUSION, ALPHA).accuracy_fall == pytest.approx(0.139, abs=0.005)
    assert power.detectable(1, 5000, CONFUSION, ALPHA) == power.Detectable(1.0, 1.0)


# False alarms


def test_the_budget_of_false_alarms_is_spent_evenly():
    assert multiplicity.alpha_per_window(1, 168, 3) == pytest.approx(1 / 504)
    assert multiplicity.alpha_per_window(100, 1, 3) == 1.0
    with pytest.raises(ValueError, match="must each be above 0"):
        multiplicity.alpha_per_window(1, 0, 3)


def test_holm_by_hand():
    assert multiplicity.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )
    assert multiplicity.holm({"a": 0.5, "b": 0.9}) == {"a": 1.0, "b": 1.0}
    assert multiplicity.holm({}) == {}


# All together


def test_windows_of_real_predictions_get_the_right_verdict(halves):
    reference, source = halves
    windows = {
        "untouched": window_of(source, EVEN, 500, 4),
        "mix": window_of(source, one_class(CAT, 0.5), 500, 4),
        "worse": worsened(window_of(source, EVEN, 500, 4)),
        "both": worsened(window_of(source, one_class(CAT, 0.5), 500, 4)),
    }
    found = {}
    for name, window in windows.items():
        verdict = decide(detectors.measure(window, reference, CONFUSION, ALPHA), CLASSES, [True])
        found[name] = (verdict.action, verdict.embedding_drift)
    assert found == {
        "untouched": ("none", False),
        "mix": ("warn", False),
        "worse": ("retrain", True),
        "both": ("retrain", True),
    }


def test_the_same_seed_gives_the_same_drift(halves):
    reference, source = halves
    window, labels = take(source, slice(300)), source.predicted[:300]
    first, again, other = (detectors.measure(window, reference, CONFUSION, ALPHA, labels, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert first.realized.estimate.value == 1.0


@pytest.mark.parametrize("shares", [EVEN, one_class(CAT, 1.0)], ids=["even", "one class"])
def test_of_a_hundred_thousand_rows_a_thousand_images_are_compared(halves, shares):
    reference, source = halves
    window = window_of(source, shares, 2500, 5)
    many = take(window, np.random.default_rng(0).integers(len(window), size=100_000))
    found = detectors.measure(many, reference, CONFUSION, ALPHA)
    assert found.embedding_drift.rows == embedding_drift.COMPARED_ROWS


def test_one_row_is_measured_and_not_judged(halves):
    reference, source = halves
    found = detectors.measure(take(source, [0]), reference, CONFUSION, ALPHA)
    assert decide(found, CLASSES).sentence == (
        "Not enough data: the window has 1 image, and at least 100 are needed. In so few, a fall of accuracy by less"
        " than 100 points can pass for chance."
    )


def test_a_reference_without_anything_like_the_window_gives_an_answer_still(quick):
    certain = np.eye(10)[[CAT] * 200 + [DOG] * 200]
    both = sample(certain, np.random.default_rng(0).normal(size=(400, 3)), certain.argmax(axis=1))
    perfect = np.eye(10, dtype=int) * 1000
    found = detectors.measure(take(both, slice(200)), take(both, slice(200, 400)), perfect, 0.01)
    assert found.embedding_drift.compared == 0
    assert found.label_shift.p_value <= 0.01
    assert found.label_shift.shares[CAT].value == pytest.approx(1)
    assert decide(found, CLASSES, [True]).action == "warn"


def test_what_cannot_be_compared_is_refused(halves):
    reference, source = halves
    narrow = sample(source.probabilities, source.embeddings[:, :10])
    with pytest.raises(ValueError, match="nothing to compare"):
        detectors.measure(take(source, slice(0)), reference, CONFUSION, ALPHA)
    with pytest.raises(ValueError, match="not of the same model"):
        detectors.measure(narrow, reference, CONFUSION, ALPHA)
    with pytest.raises(ValueError, match="not of the same model"):
        detectors.measure(source, reference, CONFUSION[:9, :9], ALPHA)
    with pytest.raises(ValueError, match="test images of every class"):
        detectors.measure(source, reference, CONFUSION * (np.arange(10) != CAT)[:, None], ALPHA)
    with pytest.raises(ValueError, match="allow more false alarms"):
        detectors.measure(source, reference, CONFUSION, 1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predicted": np.array([0])}, "not of the same rows"),
        ({"predicted": np.array([0, 10])}, "no column for"),
        ({"probabilities": np.full((2, 10), np.nan)}, "not finite"),
        ({"embeddings": np.full((2, 3), np.inf)}, "not finite"),
        ({"embeddings": np.zeros(2)}, r"embeddings \[k, features\]"),
    ],
)
def test_a_sample_is_checked(change, message):
    whole = {"predicted": np.array([0, 1]), "probabilities": np.full((2, 10), 0.1), "embeddings": np.zeros((2, 3))}
    Sample(**whole)
    with pytest.raises(ValueError, match=message):
        Sample(**(whole | change))
