"""The tasks of `report_drift`. Each imports what it works with when it runs, so that a DAG file parses fast."""

from collections.abc import Sequence
from typing import Any


def list_windows(run_ids: Sequence[str] | None, **asked: str | None) -> list[dict[str, Any]]:
    """As `schedule.list_windows`."""
    from strandline.drift import schedule

    return [window.to_dict() for window in schedule.list_windows(run_ids, **asked)]


def report(run_id: str, asked: Any) -> dict[str, Any]:
    """As `report.report`, of a window that `list_windows` named."""
    from strandline.drift import report, schedule

    return report.report(run_id, schedule.AskedWindow.from_dict(asked)).to_dict()
