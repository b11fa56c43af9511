"""What was found in windows of predictions: verdicts over time, and the report of each."""

import datetime
from typing import Annotated, Any, Literal

from fastapi import HTTPException, Query

from strandline import ledger
from strandline.drift.verdict import SMALLEST_EMBEDDING_DRIFT, SMALLEST_LABEL_SHIFT
from strandline.pages import embeddings
from strandline.pages.parameters import Number, NumberInPath
from strandline.pages.rooms import Facts, Room, reading

WINDOWS = 48  # of a page: two days of hours
ALIKE = 3  # images beside each that differs
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


@room.show("/drift/{report_id}/images", "drift_images.html")
def images(report_id: NumberInPath) -> Facts:
    """The images of a window that differ most from the reference, and what looks most like each of them in the last
    window before it in which nothing was found. Of the reference itself the store has no pictures.

    Raises:
        HTTPException: there is no such report.
    """
    with reading() as connection:
        row = _report(connection, report_id)
        quiet = next(iter(ledger.fetch(connection, "select_quiet_window", {"report_id": report_id})), None)
        window = {"version": row["model_version"], "image_ids": row["most_changed"], "limit": embeddings.COMPARED}
        if quiet:
            last = quiet["window_end"] - datetime.timedelta.resolution
            window |= {"since": quiet["window_start"], "period": last}
        found = ledger.fetch(connection, "select_embedded_images", window) if quiet else []
    read = embeddings.read(found)
    alike = {image: read.nearest(image, ALIKE, row["most_changed"]) for image in row["most_changed"]}
    with reading() as connection:
        shown = {*alike, *(other for others in alike.values() for other, _ in others)}
        seen = ledger.fetch(connection, "select_seen_images", window | {"image_ids": [*shown]})
    rows = {one["image_id"]: one for one in seen}
    return {
        "report_row": row,
        "quiet": quiet,
        "compared": len({*read.images} - {*row["most_changed"]}),
        "pairs": [
            {"image": rows[image], "alike": [rows[other] | {"distance": distance} for other, distance in others]}
            for image, others in alike.items()
        ],
    }


def _report(connection: ledger.Connection, report_id: int) -> dict[str, Any]:
    found = ledger.fetch(connection, "select_verdict", {"report_id": report_id})
    if not found:
        raise HTTPException(404, f"there is no drift report {report_id}")
    return dict(found[0])
