"""The challenger loads in the real runner, and answers. No statistics."""

from strandline.promotion.check import Check, Evidence


def check(evidence: Evidence) -> Check:
    """Whether it did."""
    if evidence.trial.loaded:
        return Check("loads", "pass", "It loads in the real runner, and answers.")
    says = f"It does not load in the real runner, or does not answer: {evidence.trial.detail}"
    return Check("loads", "fail", says)
