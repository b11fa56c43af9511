"""The challenger's probabilities of its golden images are those that its bundle says.

No statistics: the same weights and pixels must give the same probabilities.
"""

import numpy as np

from strandline.promotion.check import Check, Evidence
from strandline.promotion.words import count, decimal
from strandline.stats.estimates import Estimate

NAME = "golden images"


def check(evidence: Evidence) -> Check:
    """The largest difference of a probability is at most the tolerance.

    Raises:
        ValueError: other images were found than were expected.
    """
    validation, tolerance = evidence.validation, evidence.rules.golden_tolerance
    if not validation.loaded or not len(validation.golden_expected):
        return Check(NAME, "not enough evidence", "No golden image was classified, so nothing shows that it works.")
    if validation.golden_expected.shape != validation.golden_found.shape:
        raise ValueError("the golden images found are not those expected")
    # What is not a number must not pass as no difference.
    gap = float(np.nan_to_num(np.abs(validation.golden_expected - validation.golden_found), nan=1.0, posinf=1.0).max())
    images = count(len(validation.golden_expected), "golden image")
    off = f"up to {decimal(gap)} off" if gap else "exactly"
    return Check(
        NAME,
        "pass" if gap <= tolerance else "fail",
        f"On {images} its probabilities are {off} what its bundle says; {decimal(tolerance)} is allowed.",
        Estimate(gap, gap, gap),
        tolerance,
        "below",
        "probability",
    )
