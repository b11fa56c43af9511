"""What is to be done about a window, and why, in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from strandline.drift.detectors import Drift
from strandline.drift.detectors.performance import Performance
from strandline.stats.estimates import Estimate

MINIMUM_ROWS = 100  # with fewer, and one false alarm a week, more than a fifth of falls by 13 points are missed
SMALLEST_LABEL_SHIFT = 0.05  # distance of mixes that is worth a word: a large window shows any difference
SMALLEST_EMBEDDING_DRIFT = 0.08  # distance of images that is worth a word; half of them as JPEG of quality 95 make 0.06
SMALLEST_FALL = 0.03  # of accuracy, that is worth a retraining


@dataclass(frozen=True)
class Verdict:
    """What to do, and why in words. `asks`: this window by itself is a reason to retrain. `by_labels`: that is how its
    accuracy was judged.
    """

    action: Literal["none", "warn", "retrain"]
    sentence: str
    asks: bool = False
    enough: bool = True
    label_shift: bool = False
    embedding_drift: bool = False
    accuracy_fell: bool = False
    by_labels: bool = False


def decide(
    drift: Drift | None,
    classes: Sequence[str],
    earlier: Sequence[bool] = (),
    later: Sequence[bool] = (),
    reported: Mapping[str, bool] | None = None,
    *,
    need: int = 2,
    of: int = 5,
    minimum_rows: int = MINIMUM_ROWS,
    minimum_labels: int = MINIMUM_ROWS,
    smallest_label_shift: float = SMALLEST_LABEL_SHIFT,
    smallest_embedding_drift: float = SMALLEST_EMBEDDING_DRIFT,
    smallest_fall: float = SMALLEST_FALL,
) -> Verdict:
    """The verdict on a window; None stands for an empty one.

    A window asks for retraining if accuracy fell below what its mix of classes explains: as enough labels show, or
    as the model is unsure of images that changed. A changed mix alone never does. The action is `retrain` if the
    asking is `persistent`, and `warn` if anything was found.

    Args:
        classes: the names of the classes, for the sentence. As they are: escape it where it is shown.
        earlier, later: `asks` of the windows before it and, if its labels came late, after it; in order of time.
        reported: the window's verdict when it was judged without enough labels, as a mapping; None if it never was.
            Its mix and its images are not tested again: only what was found in them then can be found now.
    """
    if drift is None or drift.rows < minimum_rows:
        return Verdict("none", _not_enough(drift, minimum_rows), enough=False)
    labelled = drift.realized is not None and drift.realized.labelled >= minimum_labels
    accuracy = drift.realized if drift.realized is not None and labelled else drift.estimated
    mix = drift.label_shift.p_value <= drift.alpha and drift.label_shift.distance.value >= smallest_label_shift
    images = drift.embedding_drift.p_value <= drift.alpha and drift.embedding_drift.distance >= smallest_embedding_drift
    if reported is not None:
        mix, images = mix and reported["label_shift"], images and reported["embedding_drift"]
    fell = accuracy.p_value <= drift.alpha and accuracy.fall >= smallest_fall
    asks = fell and (labelled or images)
    # As of this window, and of each that was reported after it: its labels may come in any order.
    histories = [[*earlier, asks, *later[:number]] for number in range(of)]
    history = next((one for one in histories if persistent(one, need, of)), histories[0])
    if not (mix or images or fell):
        return Verdict("none", _nothing_found(drift), by_labels=labelled)
    sentences = [
        _embedding_drift_sentence(mix) if images else _label_shift_sentence(drift, classes) if mix else "",
        _accuracy_sentence(accuracy, fell),
        _persistence_sentence(history, need, of) if asks else "",
    ]
    action: Literal["warn", "retrain"] = "retrain" if asks and persistent(history, need, of) else "warn"
    return Verdict(action, " ".join(filter(None, sentences)), asks, True, mix, images, fell, labelled)


def _not_enough(drift: Drift | None, minimum_rows: int) -> str:
    if drift is None:
        return "Not enough data: the window has no predictions."
    fall = _points(drift.detectable.accuracy_fall)
    return (
        f"Not enough data: the window has {_images(drift)}, and at least {minimum_rows:,} are needed. In so few, a fall"
        f" of accuracy by less than {fall} can pass for chance."
    )


def _images(drift: Drift) -> str:
    images = drift.rows + drift.duplicates
    different = f", {drift.rows:,} of them different from each other" if drift.duplicates else ""
    return f"{images:,} image{'s' * (images > 1)}{different}"


def _nothing_found(drift: Drift) -> str:
    return (
        f"No change found in {_images(drift)}. A fall of accuracy by {_points(drift.detectable.accuracy_fall)}, or"
        f" {drift.detectable.label_shift_distance:.0%} of the images in other classes, would most likely have shown."
    )


def _embedding_drift_sentence(mix: bool) -> str:
    also = " So does the mix of predicted classes, perhaps because of that." if mix else ""
    return f"The images look different from the reference even within the same class, more than by chance.{also}"


def _label_shift_sentence(drift: Drift, classes: Sequence[str]) -> str:
    shares, reference = drift.label_shift.shares, drift.label_shift.reference
    most = max(range(len(classes)), key=lambda one: abs(shares[one].value - reference[one]))
    within = "Within a class the images look as before."
    if 2 * drift.embedding_drift.compared < drift.embedding_drift.rows:
        within = "Most images could not be compared, for want of their like in the reference."
    return (
        f"The mix of classes changed more than by chance: {classes[most]} makes up"
        f" {_interval(shares[most])} of the images instead of {reference[most]:.0%}. {within} A person should say"
        " whether this mix is expected: retraining is no cure for it."
    )


def _accuracy_sentence(accuracy: Performance, fell: bool) -> str:
    name = f"Accuracy on {accuracy.labelled:,} labelled images" if accuracy.labelled else "Estimated accuracy"
    if fell:
        return f"{name} fell from {accuracy.expected:.0%} to {_interval(accuracy.estimate)}."
    return f"{name} is {_interval(accuracy.estimate)}; {accuracy.expected:.0%} is usual for such a mix of classes."


def _persistence_sentence(history: Sequence[bool], need: int, of: int) -> str:
    asking = sum(history[-of:])
    if persistent(history, need, of):
        return f"Retraining is due: {asking} of the last {of} windows ask for it."
    return f"Retraining is due once {need} of {of} windows ask for it; so far {asking} did."


def _interval(estimate: Estimate) -> str:
    return f"{estimate.value:.0%} ({100 * estimate.low:.0f}–{estimate.high:.0%})"


def _points(share: float) -> str:
    return f"{100 * share:.{1 if share < 0.1 else 0}f} points"


def persistent(history: Sequence[bool], need: int = 2, of: int = 5) -> bool:
    """Whether the latest window, and at least `need` of the last `of`, say so. The latest is the last."""
    return bool(history) and history[-1] and sum(history[-of:]) >= need


def persistence_rate(alpha: float, need: int = 2, of: int = 5) -> float:
    """How often `persistent` holds if each window says so by chance, with probability alpha, on its own.

    The latest does, and of the others a binomial number. For 2 of 5 that is about 4 alpha squared: 1 in 168 windows,
    one a week, becomes 1 in 7,120, one in ten months.
    """
    others = range(need - 1, of)
    return alpha * sum(math.comb(of - 1, hits) * alpha**hits * (1 - alpha) ** (of - 1 - hits) for hits in others)
