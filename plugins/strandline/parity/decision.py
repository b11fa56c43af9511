"""What a comparison with the reference has to show, and whether it does.

In f32 the same weights and pixels have to give the same probabilities, so what was measured decides. bf16 rounds to 8
bits: probabilities move, and what counts is how many images are right. That is asked as the gate asks it, by the score
interval of pairs, so with few labelled images the answer is that evidence is missing.
"""

from dataclasses import dataclass
from typing import Literal

import strandline_contract as contract
from strandline.stats import estimates, paired
from strandline.stats.paired import Pairs

Outcome = Literal["pass", "fail", "not enough evidence"]

ALPHA = 0.025  # of passing what is just not allowed, and of failing what just is, as in each check of the gate
MARGIN = 0.002  # loss of accuracy that is allowed in bf16
EQUAL_LABELS: dict[contract.Precision, float] = {"f32": 0.9999, "bf16": 0.995}  # least share, as measured


@dataclass(frozen=True)
class Decision:
    """The outcome, and it in a sentence for people."""

    outcome: Outcome
    sentence: str


def decide(precision: contract.Precision, found: contract.Agreement) -> Decision:
    """Whether a version may be computed in a runtime of this precision that agrees so with the reference."""
    labels, says_labels = _labels(precision, found)
    numbers, says_numbers = _probabilities(precision, found) if precision == "f32" else _accuracy(found)
    golden, says_golden = _golden(precision, found)
    outcomes = {labels, numbers, golden}
    outcome: Outcome = "fail" if "fail" in outcomes else "pass" if outcomes == {"pass"} else "not enough evidence"
    says = f"Of {found.images:,} labelled images {says_labels}; {says_numbers}{says_golden}"
    return Decision(outcome, says)


def _labels(precision: contract.Precision, found: contract.Agreement) -> tuple[Outcome, str]:
    """To pass, as measured: the answers are compared on these images. To fail, chance has to be ruled out."""
    share, least = estimates.share(found.equal_labels, found.images, ALPHA), EQUAL_LABELS[precision]
    outcome: Outcome = "pass" if share.value >= least else "fail" if share.high < least else "not enough evidence"
    return outcome, f"{found.equal_labels:,} have the reference's label ({share.value:.2%}; {least:.2%} are needed)"


def _probabilities(precision: contract.Precision, found: contract.Agreement) -> tuple[Outcome, str]:
    most = contract.TOLERANCES[precision]
    says = f"probabilities are up to {found.largest_difference:.1g} off ({most:g} is allowed)"
    return "pass" if found.largest_difference <= most else "fail", says


def _accuracy(found: contract.Agreement) -> tuple[Outcome, str]:
    """Not inferior by more than MARGIN, by Tango's score interval of pairs."""
    pairs = Pairs(found.images, found.runtime_right, found.reference_right)
    difference = pairs.interval(ALPHA)
    low = difference.low >= -MARGIN
    outcome: Outcome = "pass" if low else "fail" if difference.high < -MARGIN else "not enough evidence"
    reference = (found.both_right + found.reference_right) / found.images
    value, lowest, highest = (
        f"{100 * one:+.2f}".replace("-", "−") for one in (difference.value, difference.low, difference.high)
    )
    says = (
        f"accuracy is {reference + difference.value:.2%}, the reference's {reference:.2%}: {value} points ({lowest} to"
        f" {highest}), of which {100 * MARGIN:.1f} may be lost"
    )
    return outcome, says + (_needed(pairs, difference) if outcome == "not enough evidence" else "")


def _needed(pairs: Pairs, found: estimates.Estimate) -> str:
    """How many images would most likely show it, if in truth nothing is lost; or as was measured, if that cannot be."""
    truth = 0.0 if found.low <= 0 <= found.high else found.value
    # Few images hardly bound the share that one alone has right: the margin does from below, equal labels from above.
    variance = min(max(pairs.variance, MARGIN), 1 - EQUAL_LABELS["bf16"])
    more = paired.more_labels(pairs.rows, found.value, -MARGIN, truth, variance, ALPHA)
    if more is None:
        return "; more images would hardly show that"
    return f"; a holdout of about {pairs.rows + more:,} labelled images would most likely show that"


def _golden(precision: contract.Precision, found: contract.Agreement) -> tuple[Outcome, str]:
    """What each process that is to classify will be refused for."""
    most = contract.TOLERANCES[precision]
    if found.golden_difference is None or found.golden_difference <= most:
        return "pass", "."
    return "fail", f"; of golden images they are up to {found.golden_difference:.1g} off ({most:g} is allowed)."
