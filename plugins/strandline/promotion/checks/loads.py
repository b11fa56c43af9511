"""The challenger loads in the real runner, and answers. No statistics."""

from strandline.promotion.check import Check, Evidence


def check(evidence: Evidence) -> Check:
    """Whether it did."""
    if evidence.validation.loaded:
        return Check("loads", "pass", "It loads in the real runner, and answers.")
    says = f"It does not load in the real runner, or does not answer: {evidence.validation.detail}"
    return Check("loads", "fail", says)
