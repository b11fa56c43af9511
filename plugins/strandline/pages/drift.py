"""What was found in windows of predictions: verdicts over time, and the report of each."""

from typing import Annotated, Any, Literal

from fastapi import HTTPException, Query

from strandline import ledger
from strandline.drift.verdict import SMALLEST_EMBEDDING_DRIFT, SMALLEST_LABEL_SHIFT
from strandline.pages.parameters import Number, NumberInPath
from strandline.pages.rooms import Facts, Room, reading

WINDOWS = 48  # of a page: two days of hours
room = Room("report_drift")

Version = Annotated[str | None, Query(pattern=r"^([0-9a-f]{64})?$")]
Action = Literal["none", "warn", "retrain", ""]


@room.show("/drift", "drift.html")
def verdicts(version: Version = None, action: Action = "", images: bool = False, before: Number | None = None) -> Facts:
    """Verdicts on windows of predictions, the newest first, those that no other replaces.

    Args:
        version: of this model version only.
        action: with this verdict only.
        images: of windows with images only.
        before: a report's id: the verdicts before that one.
    """
    asked = {"version": version or None, "action": action or None, "with_images": images, "before": before}
    with reading() as connection:
        found = ledger.fetch(connection, "select_verdicts", asked | {"limit": WINDOWS + 1})
        models = ledger.fetch(connection, "select_reported_versions")
    shown = found[:WINDOWS]
    return {
        "verdicts": shown,
        "older": shown[-1]["report_id"] if len(found) > WINDOWS else None,
        "models": models,
        "asked": asked,
        "thresholds": {"label_shift": SMALLEST_LABEL_SHIFT, "embedding_drift": SMALLEST_EMBEDDING_DRIFT},
    }


@room.show("/drift/{report_id}", "drift_report.html")
def report(report_id: NumberInPath, beside: Number | None = None) -> Facts:
    """One report, or two of them.

    Raises:
        HTTPException: there is no such report.
    """
    with reading() as connection:
        first = _report(connection, report_id)
        second = None if beside is None else _report(connection, beside)
        (around,) = ledger.fetch(connection, "select_verdict_neighbours", {"report_id": report_id})
        asked = {"version": None, "action": None, "with_images": True, "before": None, "limit": WINDOWS}
        others = ledger.fetch(connection, "select_verdicts", asked)
    return {
        "report_row": first,
        "beside": second,
        "around": around,
        "others": [other for other in others if other["report_id"] != report_id],
    }


def _report(connection: ledger.Connection, report_id: int) -> dict[str, Any]:
    found = ledger.fetch(connection, "select_verdict", {"report_id": report_id})
    if not found:
        raise HTTPException(404, f"there is no drift report {report_id}")
    return dict(found[0])
