"""The gate on answers with known counts, and on simulated challengers. Those are drawn from the champion's reference
profile, which holds real probabilities; the true classes follow them.
"""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from local.bench import gate as bench_gate
from strandline.promotion import bounds
from strandline.promotion import checks as gate_checks
from strandline.promotion.check import InfraValidation
from strandline.promotion.comparison import Answers, LabelledSet, compare
from strandline.promotion.gate import examine
from strandline.promotion.rules import Rules
from strandline.stats import calibration
from strandline.stats.paired import Pairs

BUNDLE = Path(__file__).parents[2] / "models/cifar_resnet20_v1"
CLASSES = ("bird", "cat", "dog")
SUPERIOR = Rules()
NON_INFERIOR = Rules(recent_rule="non-inferior")


def answers(predicted, confidence=0.9):
    probabilities = np.full((len(predicted), len(CLASSES)), (1 - confidence) / (len(CLASSES) - 1))
    probabilities[np.arange(len(predicted)), predicted] = confidence
    return Answers(predicted, probabilities)


def labelled(both=900, lost=0, gained=0, none=100, *, confidence=0.9, truth=None, slices=None):
    """Images counted by who has them right, the classes taking turns."""
    rows = both + lost + gained + none
    truth = np.arange(rows) % len(CLASSES) if truth is None else truth
    wrong = (truth + 1) % len(CLASSES)
    kind = np.repeat(np.arange(4), [both, lost, gained, none])
    champion, challenger = np.where(kind < 2, truth, wrong), np.where(kind % 2 == 0, truth, wrong)
    images = [f"image {row}" for row in range(rows)]
    return LabelledSet(images, truth, answers(champion), answers(challenger, confidence), slices or {})


def infra_validation(ratio=1.0, **changes):
    seconds = np.array([1.0, 1.02, 0.98, 1.01, 0.99, 1.02, 0.99])
    golden = np.full((4, 3), 1 / 3)
    return dataclasses.replace(InfraValidation(True, seconds, ratio * seconds[::-1], golden, golden), **changes)


EQUAL = labelled(8900, 200, 200, 700)
BETTER = labelled(850, 10, 60, 80)


def checks(holdout=EQUAL, recent=BETTER, validated=None, rules=SUPERIOR):
    found = examine(CLASSES, holdout, recent, validated or infra_validation(), rules)
    return {check.name: check for check in found.checks}


def test_a_good_challenger_passes():
    found = examine(CLASSES, EQUAL, BETTER, infra_validation())
    assert (found.outcome, found.sentence) == ("pass", "The challenger passes all 10 checks.")
    assert {check.outcome for check in found.checks} == {"pass"}
    assert (found.holdout.rows, found.recent.rows) == (10_000, 1_000)
    json.dumps(dataclasses.asdict(found), allow_nan=False)


def test_every_file_of_a_check_is_in_a_table_of_gates():
    files = {file.stem for file in Path(gate_checks.__file__).parent.glob("*.py")} - {"__init__"}
    for table in (gate_checks.CHECKS, gate_checks.FIRST):
        assert len(set(table)) == len(table)
    used = {*gate_checks.CHECKS, *gate_checks.FIRST}
    assert sorted(check.__module__.rpartition(".")[2] for check in used) == sorted(files)


# One check at a time: what passes, what fails, and what lacks evidence


@pytest.mark.parametrize(
    ("name", "changes", "outcome"),
    [
        ("loads", {"validated": infra_validation(loaded=False, detail="out of memory")}, "fail"),
        ("golden images", {"validated": infra_validation(golden_found=np.full((4, 3), 1 / 3 + 2e-3))}, "fail"),
        ("golden images", {"validated": infra_validation(golden_found=np.full((4, 3), 1 / 3 + 5e-4))}, "pass"),
        ("golden images", {"validated": infra_validation(golden_found=np.full((4, 3), np.nan))}, "fail"),
        ("golden images", {"validated": infra_validation(golden_expected=np.zeros((0, 3)))}, "not enough evidence"),
        ("accuracy floor", {"holdout": labelled(700, 0, 0, 300)}, "fail"),
        ("accuracy floor", {"holdout": labelled(810, 0, 0, 190)}, "not enough evidence"),
        ("holdout", {"holdout": labelled(8900, 500, 200, 400)}, "fail"),
        ("holdout", {"holdout": labelled(8900, 290, 200, 610)}, "not enough evidence"),
        ("holdout", {"holdout": labelled(890, 20, 20, 70)}, "not enough evidence"),
        ("holdout", {"holdout": None}, "not enough evidence"),
        ("recent", {"recent": labelled(860, 40, 50, 50)}, "not enough evidence"),
        ("recent", {"recent": labelled(9000, 200, 200, 600)}, "fail"),  # no gain that is worth it
        ("recent", {"recent": labelled(860, 80, 20, 40)}, "fail"),
        ("recent", {"recent": None}, "not enough evidence"),
        ("recent", {"recent": labelled(0, 0, 0, 0)}, "not enough evidence"),
        ("recent", {"recent": labelled(860, 20, 20, 100), "rules": NON_INFERIOR}, "pass"),
        ("recent", {"recent": labelled(860, 40, 20, 80), "rules": NON_INFERIOR}, "not enough evidence"),
        ("recent", {"recent": labelled(860, 90, 20, 30), "rules": NON_INFERIOR}, "fail"),
        ("class floors", {"holdout": labelled(400, 0, 0, 600)}, "fail"),
        ("class floors", {"holdout": labelled(500, 0, 0, 480)}, "not enough evidence"),
        ("class losses", {"holdout": labelled(80, 0, 0, 20)}, "not enough evidence"),
        ("class losses", {"holdout": labelled(8000, 900, 0, 1100)}, "fail"),
        ("calibration", {"holdout": labelled(9100, 0, 0, 900, confidence=0.98)}, "fail"),
        ("calibration", {"holdout": labelled(9100, 0, 0, 900, confidence=0.935)}, "not enough evidence"),
        ("calibration", {"holdout": labelled(9100, 0, 0, 900, confidence=0.92)}, "pass"),
        ("slices", {"recent": labelled(850, 10, 60, 80, slices={"hour=8": np.arange(1000) < 99})}, "pass"),
        ("latency", {"validated": infra_validation(1.5)}, "fail"),
        ("latency", {"validated": infra_validation(1.24)}, "not enough evidence"),
        ("latency", {"validated": infra_validation(0.5)}, "pass"),
        (
            "latency",
            {"validated": infra_validation(champion_seconds=np.ones(5), challenger_seconds=np.ones(5))},
            "not enough evidence",
        ),
    ],
)
def test_outcomes(name, changes, outcome):
    check = checks(**changes)[name]
    assert check.outcome == outcome, check.sentence
    if outcome != "not enough evidence":
        assert check.needed is None


def test_the_worst_outcome_is_the_gate_s():
    lacking, failing = labelled(430, 15, 20, 35), infra_validation(1.5)
    assert examine(CLASSES, EQUAL, lacking, infra_validation()).outcome == "not enough evidence"
    found = examine(CLASSES, EQUAL, lacking, failing)
    assert (found.outcome, found.sentence) == ("fail", "The challenger fails 1 of 10 checks: latency.")


def test_missing_evidence_says_how_many_labels_it_takes():
    found = examine(CLASSES, EQUAL, labelled(430, 15, 15, 40), infra_validation(), NON_INFERIOR)
    check = {check.name: check for check in found.checks}["recent"]
    assert check.needed == 553
    assert check.sentence == (
        "Accuracy on 500 recent images, against the champion: +0.0 points (−2.3 to +2.3). It alone has 15 right, the"
        " champion alone 15; if they were equally good, chance would make a difference like that every time. A loss of"
        f" up to 2.0 points is allowed. {check.needed:,} more labels of the recent set would most likely show it."
    )
    assert found.sentence == (
        "No check fails, but evidence is missing for 1 of 10: recent."
        f" More labels needed: {check.needed:,} of the recent set."
    )


@pytest.mark.parametrize(
    ("lost", "gained", "says"),
    [(0, 60, "less than once in 1,000 times"), (10, 22, "about once in 20 times"), (30, 40, "about 3 times in 10")],
)
def test_sentences_need_no_statistics(lost, gained, says):
    found = checks(recent=labelled(2000, lost, gained, 60))
    assert f"chance would make a difference like that {says}." in found["recent"].sentence
    assert (
        " 0.001 is allowed"
        in checks(validated=infra_validation(golden_found=np.full((4, 3), 1 / 3 + 5e-4)))["golden images"].sentence
    )
    assert not any(re.search(r"\bp [<=]|\de[-+]\d", check.sentence) for check in found.values())


def test_an_empty_recent_set_takes_as_many_labels_as_the_models_differ_on_the_holdout():
    rare = checks(holdout=labelled(9000, 50, 50, 900), recent=None, rules=NON_INFERIOR)["recent"]
    often = checks(holdout=labelled(8900, 200, 200, 700), recent=None, rules=NON_INFERIOR)["recent"]
    assert (rare.needed, often.needed) == (201, 789)
    assert rare.sentence.startswith("The recent set has no labelled image.")
    assert rare.found is None


def test_no_number_of_labels_is_promised_where_what_was_measured_speaks_against_it():
    check = checks(recent=labelled(860, 45, 15, 80), rules=NON_INFERIOR)["recent"]
    assert (check.outcome, check.needed) == ("not enough evidence", None)
    assert check.sentence.endswith("More labels would hardly show it.")


def test_one_bad_class_fails_what_the_whole_hides():
    truth = np.arange(10_000) % 3
    good = labelled(9000, 0, 0, 1000, truth=truth)
    cats = np.flatnonzero(truth == 1)[:300]
    predicted = good.challenger.predicted.copy()
    predicted[cats] = 2
    challenger = answers(predicted)
    challenger.predicted[np.flatnonzero(truth != 1)[-350:]] = truth[truth != 1][-350:]
    found = checks(holdout=dataclasses.replace(good, challenger=challenger))
    assert found["holdout"].outcome == "pass"
    check = found["class losses"]
    assert check.outcome == "fail"
    assert "shown to break that: cat, −9.0 points" in check.sentence
    assert "dog" not in check.sentence


def test_a_class_without_images_lacks_evidence():
    truth = np.arange(10_000) % 2
    found = checks(holdout=labelled(9300, 0, 0, 700, truth=truth))
    for name in ("class floors", "class losses"):
        assert found[name].outcome == "not enough evidence"
        assert "dog, no image (takes " in found[name].sentence


def test_a_bad_slice_fails_and_a_small_one_is_not_judged():
    lost = np.zeros(10_000, bool)
    lost[8900:9020] = True
    slices = {"brightness=dark": lost, "source=<b>": ~lost, "hour=2026-11-21T08": np.arange(10_000) < 50}
    part = labelled(8900, 200, 200, 700, slices=slices)
    check = checks(holdout=part)["slices"]
    assert check.outcome == "fail"
    assert check.sentence.startswith(
        "Shown to lose more than 5.0 points: brightness=dark of the holdout set, −100.0 points"
    )
    assert check.sentence.endswith("Not judged: 1 slice of fewer than 100 images.")


def test_a_challenger_that_does_not_load_fails_without_answers():
    nothing = np.zeros(0)
    found = examine(CLASSES, None, None, InfraValidation(False, nothing, nothing, nothing, nothing, "no such network"))
    assert (found.outcome, found.holdout, found.recent) == ("fail", None, None)
    assert "no such network" in found.checks[0].sentence
    assert {check.outcome for check in found.checks[1:]} == {"not enough evidence", "pass"}
    sentences = {check.name: check.sentence for check in found.checks}
    assert sentences["recent"] == "There is no answer to a recent image."


# What is compared


def test_both_models_side_by_side():
    part = labelled(6, 2, 1, 3)
    found = compare(CLASSES, part, 0.025)
    assert (found.rows, found.gained_rows, found.lost_rows) == (12, 1, 2)
    assert (found.champion.accuracy.value, found.challenger.accuracy.value) == pytest.approx((8 / 12, 7 / 12))
    for side, model in ((found.champion, part.champion), (found.challenger, part.challenger)):
        assert np.array(side.confusion).sum() == 12
        assert np.trace(side.confusion) == (model.predicted == part.truth).sum()
        assert side.confusion[1][2] == ((part.truth == 1) & (model.predicted == 2)).sum()
    assert [change.rows for change in found.classes] == [4, 4, 4]
    assert sum(change.rows * change.difference.value for change in found.classes) == pytest.approx(-1)
    assert {lost.image for lost in found.lost} == {"image 6", "image 7"}
    assert {(lost.truth, lost.predicted) for lost in found.lost} == {("bird", "cat"), ("cat", "dog")}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=4, max_size=4), st.integers(0, 3))
def test_any_counts_are_examined(counts, seed):
    part = labelled(*counts)
    found = examine(CLASSES, part, part, infra_validation(), seed=seed)
    assert found.outcome != "pass" or counts[2] > counts[1]  # so few images show nothing less
    for check in found.checks:
        if check.found is not None:
            assert check.found.low <= check.found.value <= check.found.high
            assert check.needed is None or check.needed > 0
    json.dumps(dataclasses.asdict(found), allow_nan=False)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"images": ["one"] * 1000}, "twice"),
        ({"truth": np.full(1000, 3)}, "indices"),
        ({"truth": np.zeros(999, int)}, "indices"),
        ({"challenger": answers(np.zeros(999, int))}, "other numbers"),
        ({"challenger": Answers(np.zeros(1000, int), np.full((1000, 3), np.nan))}, "no probability"),
        ({"slices": {"all": np.ones(1000, int)}}, "mask"),
    ],
)
def test_sets_that_do_not_fit_are_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(BETTER, **changes)


@pytest.mark.parametrize(
    "changes",
    [{"alpha": 0}, {"floor": 1}, {"holdout_margin": 0}, {"recent_gain": 0}, {"recent_rule": "any"}, {"slice_rows": 0}],
)
def test_rules_out_of_range_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        Rules(**changes)


def test_names_must_be_those_of_the_classes():
    for names in (("cat", "dog"), ("cat", "dog", "cat")):
        with pytest.raises(ValueError, match="class"):
            examine(names, EQUAL, None, infra_validation())


# How often it errs: the whole gate as `make bench-gate` draws it, in less time


@pytest.fixture(scope="module")
def pool():
    """Real probabilities; true classes as they say at the temperature where they are right on average; and another
    model, which is the same with noise.
    """
    import pyarrow.parquet as pq

    rng = np.random.default_rng(1)
    one = np.array(pq.read_table(BUNDLE / "reference.parquet", columns=["probabilities"])[0].to_pylist())
    calibrated = calibration.temper(one, calibration.temperature(one, 0.92))
    truth = (calibrated.cumsum(axis=1) < rng.random((len(one), 1))).sum(axis=1).clip(max=9)
    other = calibration.temper(np.clip(one, 1e-12, 1) * np.exp(rng.normal(0, 1.1, one.shape)), 1.0)
    return bench_gate.Pool(truth, one, other)


def test_the_pool_is_of_models_that_agree_as_real_ones_do(pool):
    assert pool.agreement == pytest.approx(0.95, abs=0.01)


def test_an_equal_challenger_is_not_inferior(pool):
    found = bench_gate.simulate(pool, NON_INFERIOR, 2000, 0.0, 60)
    held = [check.outcome for one in found for check in one.checks if check.name == "holdout"]
    assert held.count("pass") >= 57
    assert [one.outcome for one in found].count("pass") >= 50
    assert "fail" not in {one.outcome for one in found}


def test_a_challenger_two_points_worse_does_not_pass(pool):
    for rules in (NON_INFERIOR, Rules()):
        found = bench_gate.simulate(pool, rules, 1000, 0.02, 30)
        assert {one.outcome for one in found} == {"fail"}


def test_a_challenger_two_points_better_is_superior(pool):
    found = bench_gate.simulate(pool, Rules(), 2000, -0.02, 30)
    assert [one.outcome for one in found].count("pass") >= 25


def test_at_the_margin_each_side_errs_as_often_as_it_may():
    """Of 4,000 challengers that are worse by just the margin, of 10,000 images."""
    rows, times, rules = 10_000, 4000, Rules()
    drawn = np.random.default_rng(4).multinomial(rows, [0.02, 0.03, 0.95], times)
    found = [Pairs(rows, gained, lost).interval(rules.alpha) for gained, lost, _ in drawn.tolist()]
    most = stats.binom.ppf(0.999, times, rules.alpha)
    assert sum(bounds.at_least(one, -rules.holdout_margin) == "pass" for one in found) <= most
    assert sum(bounds.at_least(one, -rules.holdout_margin) == "fail" for one in found) <= most
