"""Verdicts on what was measured, and their sentences."""

import dataclasses
import itertools
import json
from pathlib import Path

import pytest

from strandline.drift import detectors
from strandline.drift.detectors.embedding_drift import EmbeddingDrift
from strandline.drift.detectors.label_shift import LabelShift
from strandline.drift.detectors.performance import Performance
from strandline.drift.detectors.power import Detectable
from strandline.drift.verdict import MINIMUM_ROWS, decide, persistence_rate, persistent
from strandline.stats.estimates import Estimate

CLASSES = json.loads((Path(__file__).parents[2] / "models/cifar_resnet20_v1/classes.json").read_bytes())


@pytest.mark.parametrize(
    ("history", "persists"),
    [("", False), ("1", False), ("11", True), ("10", False), ("10001", True), ("100001", False), ("1110", False)],
)
def test_persistence_needs_the_latest_and_one_more(history, persists):
    assert persistent([mark == "1" for mark in history]) is persists


@pytest.mark.parametrize(("need", "of"), [(1, 1), (2, 5), (3, 4)])
def test_persistence_rate_counts_every_history(need, of):
    alpha = 0.2
    rate = sum(
        alpha ** sum(history) * (1 - alpha) ** (of - sum(history))
        for history in itertools.product([False, True], repeat=of)
        if persistent(history, need, of)
    )
    assert persistence_rate(alpha, need, of) == pytest.approx(rate)


def test_persistence_rate_of_one_alarm_a_week():
    assert 1 / persistence_rate(1 / 168) == pytest.approx(7_120, abs=5)


# The verdict


def drift_of(
    *, mix=1.0, images=1.0, unsure=1.0, estimate=0.92, labels=None, labelled=0, rows=500, distance=0.2, apart=0.2
):
    """What was measured, with these p-values."""
    shares = [Estimate(0.1, 0.08, 0.12)] * 9 + [Estimate(0.3, 0.26, 0.34)]
    return detectors.Drift(
        rows=rows,
        alpha=0.002,
        label_shift=LabelShift((0.1,) * 10, tuple(shares), Estimate(distance, 0.1, 0.3), mix),
        embedding_drift=EmbeddingDrift(apart, images, 500, 500, 1000),
        estimated=Performance(Estimate(estimate, estimate - 0.03, estimate + 0.03), 0.92, unsure),
        realized=labels and Performance(Estimate(labels, 0.7, 0.9), 0.92, 1e-9, labelled),
        detectable=Detectable(0.18, 0.05),
    )


CASES = {
    "nothing": (drift_of(), "none", False),
    "mix": (drift_of(mix=0.0005), "warn", False),
    "mix of hard classes, unsure": (drift_of(mix=0.0005, unsure=1e-9, estimate=0.7), "warn", False),
    "mix, but a tiny one": (drift_of(mix=0.0005, distance=0.01), "none", False),
    "images": (drift_of(images=0.0005), "warn", False),
    "images, but a tiny change": (drift_of(images=0.0005, apart=0.06), "none", False),
    "images, and a fall too small to mind": (drift_of(images=0.0005, unsure=1e-9, estimate=0.91), "warn", False),
    "images, and a fall": (drift_of(images=0.0005, unsure=1e-9, estimate=0.81), "retrain", True),
    "all": (drift_of(mix=0.0005, images=0.0005, unsure=1e-9, estimate=0.81), "retrain", True),
    "labels": (drift_of(labels=0.8, labelled=200), "retrain", True),
    "few labels": (drift_of(labels=0.8, labelled=20), "none", False),
    "few rows": (drift_of(mix=0.0005, images=0.0005, unsure=1e-9, estimate=0.5, rows=99), "none", False),
    "no rows": (None, "none", False),
}


@pytest.mark.parametrize(("found", "action", "asks"), CASES.values(), ids=CASES)
def test_verdicts_when_the_window_before_asked(found, action, asks):
    verdict = decide(found, CLASSES, [True])
    assert (verdict.action, verdict.asks) == (action, asks)
    assert verdict.enough is (found is not None and found.rows >= MINIMUM_ROWS)


def test_one_window_alone_does_not_retrain():
    verdict = decide(CASES["all"][0], CLASSES, [True, False, False, False, False])
    assert (verdict.action, verdict.asks) == ("warn", True)
    assert verdict.sentence.endswith("Retraining is due once 2 of 5 windows ask for it; so far 1 did.")


def test_labels_that_come_late_judge_accuracy_and_nothing_else():
    before = {"label_shift": False, "embedding_drift": True}
    found = decide(drift_of(mix=0.0005, images=0.0005, labels=0.8, labelled=200), CLASSES, reported=before)
    assert (found.label_shift, found.embedding_drift, found.accuracy_fell) == (False, True, True)
    assert found.by_labels
    calm = decide(drift_of(mix=0.0005), CLASSES, reported=dict.fromkeys(before, False))
    assert calm.action == "none"


@pytest.mark.parametrize(
    ("earlier", "later", "action"),
    [("", "1", "retrain"), ("", "01", "retrain"), ("", "00001", "warn"), ("1000", "1", "retrain"), ("", "0", "warn")],
)
def test_windows_after_it_count_where_labels_come_late(earlier, later, action):
    earlier, later = ([mark == "1" for mark in marks] for marks in (earlier, later))
    assert decide(CASES["labels"][0], CLASSES, earlier, later).action == action
    assert decide(CASES["mix"][0], CLASSES, earlier, later).action == "warn"


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        (
            "nothing",
            "No change found in 500 images. A fall of accuracy by 5.0 points, or 18% of the images in other classes,"
            " would most likely have shown.",
        ),
        (
            "mix",
            "The mix of classes changed more than by chance: truck makes up 30% (26–34%) of the images instead of 10%."
            " Within a class the images look as before. A person should say whether this mix is expected: retraining"
            " is no cure for it. Estimated accuracy is 92% (89–95%); 92% is usual for such a mix of classes.",
        ),
        (
            "images, and a fall",
            "The images look different from the reference even within the same class, more than by chance. Estimated"
            " accuracy fell from 92% to 81% (78–84%). Retraining is due: 2 of the last 5 windows ask for it.",
        ),
        (
            "labels",
            "Accuracy on 200 labelled images fell from 92% to 80% (70–90%). Retraining is due: 2 of the last 5 windows"
            " ask for it.",
        ),
        (
            "few rows",
            "Not enough data: the window has 99 images, and at least 100 are needed. In so few, a fall of accuracy by"
            " less than 5.0 points can pass for chance.",
        ),
        ("no rows", "Not enough data: the window has no predictions."),
    ],
)
def test_sentences(case, sentence):
    assert decide(CASES[case][0], CLASSES, [True]).sentence == sentence


def test_a_sentence_does_not_claim_what_was_not_compared():
    found = drift_of(mix=0.0005)
    found = dataclasses.replace(found, embedding_drift=dataclasses.replace(found.embedding_drift, compared=100))
    assert "Most images could not be compared" in decide(found, CLASSES).sentence
