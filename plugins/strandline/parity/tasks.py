"""The tasks of `check_parity`, and the last one of `retrain_model`. Each imports what it works with when it runs, so
that a DAG file parses fast."""

from typing import Any


def plan(given: str | None) -> dict[str, Any]:
    """As `parity.plan`."""
    from strandline.parity import parity

    return parity.plan(given).to_dict()


def record(run_id: str, measured: Any) -> dict[str, Any]:
    """As `parity.record`."""
    from strandline.attempts import SealedAttempt
    from strandline.parity import parity

    return parity.record(run_id, SealedAttempt.from_dict(measured)).to_dict()
