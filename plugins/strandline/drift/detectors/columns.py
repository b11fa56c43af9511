"""Whether single columns changed: measures of images, and of predictions. They have no say in the verdict."""

from collections.abc import Mapping

import numpy as np
from scipy.stats import ks_2samp

from strandline.drift.detectors.sample import Floats
from strandline.stats.multiplicity import holm


def p_values(window: Mapping[str, Floats], reference: Mapping[str, Floats]) -> dict[str, float]:
    """p-values of columns [n] that both sides have, adjusted by `holm`: the two-sample test of Kolmogorov and Smirnov
    (Hodges, "The Significance Probability of the Smirnov Two-Sample Test", Arkiv för Matematik 3, 1958). Values that
    are not finite are passed over, and a column without any.
    """
    found = {}
    for name in window.keys() & reference.keys():
        ours, theirs = (side[name].compress(np.isfinite(side[name])) for side in (window, reference))
        if len(ours) and len(theirs):
            found[name] = float(ks_2samp(ours, theirs, method="asymp").pvalue)
    return holm(found)
