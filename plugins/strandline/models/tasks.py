"""The tasks of `check_host`. Each imports what it works with when it runs, so that a DAG file parses fast."""

from typing import Any


def plan_preflight() -> dict[str, Any]:
    """As `preflight.plan`."""
    from strandline.models import preflight

    return preflight.plan().to_dict()


def report_preflight(checked: Any) -> dict[str, Any]:
    """As `preflight.report`."""
    from strandline.attempts import SealedAttempt
    from strandline.models import preflight

    return preflight.report(SealedAttempt.from_dict(checked)).to_dict()
