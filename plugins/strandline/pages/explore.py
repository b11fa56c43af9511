"""What a model said of the images of a drop: a gallery by class, confidence, and whether the path says the same."""

import csv
import datetime
import io
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from fastapi.responses import StreamingResponse

from strandline import ledger
from strandline.html.spreadsheet import write_csv
from strandline.pages.parameters import PLAIN
from strandline.pages.rooms import HEADERS, Facts, Room, reading

IMAGES = 60  # a page
MOST = 1_000_000  # rows of an export
COLUMNS = (
    *("image_id", "fname", "source", "drop_at", "path_label", "label", "confidence", "correct", "model_version"),
    *("run_id", "width", "height", "brightness", "contrast"),
)
room = Room("ingest_images")
Text = Annotated[str | None, Query(pattern=PLAIN, max_length=5000)]
Share = Annotated[float | None, Query(ge=0, le=1)]


def chosen(
    period: datetime.datetime | None = None,
    version: Annotated[str | None, Query(pattern="^[0-9a-f]{64}$")] = None,
    label: Text = None,
    path_label: Text = None,
    agrees: Literal["yes", "no", ""] = "",
    least: Share = None,
    most: Share = None,
    order: Literal["unsure", "sure"] = "unsure",
) -> dict[str, Any]:
    """Which images.

    Args:
        period: the first moment of a drop; the newest that was classified by default.
        version: of the model; by default that of the newest run.
        label, path_label: what the model says, and what the path says.
        agrees: whether both are the same.
        least, most: of the confidence.
        order: the least sure first, or the surest.
    """
    return {
        "period": period,
        "version": version,
        "label": label or None,
        "path_label": path_label or None,
        "agrees": agrees,
        "least": least,
        "most": most,
        "order": order,
    }


Chosen = Annotated[dict[str, Any], Depends(chosen)]


@room.show("/explore", "explore.html")
def explore(
    chosen: Chosen, after: Annotated[str | None, Query(pattern=r"^-?[0-9.e-]{1,30},[0-9a-f]{64}$")] = None
) -> Facts:
    """A page of predictions, and of the whole drop how many of each class.

    Args:
        after: goes on behind an image, as `next` of the answer before has it.
    """
    confidence, _, image = after.partition(",") if after else ("", "", "")
    with reading() as connection:
        query = _query(connection, chosen)
        place = {"after": float(confidence) if confidence else None, "after_image": image or None}
        rows = ledger.fetch(connection, "select_gallery", query | place | {"limit": IMAGES + 1})
        labels = ledger.fetch(connection, "count_window_labels", query)
    images = rows[:IMAGES]
    sign = -1 if query["sure"] else 1
    return {
        "chosen": chosen | {"period": query["period"], "version": query["version"]},
        "labels": labels,
        "images": images,
        "next": f"{sign * images[-1]['confidence']},{images[-1]['image_id']}" if len(rows) > IMAGES else None,
    }


@room.api.get("/explore.csv", response_class=StreamingResponse)
def export(chosen: Chosen) -> StreamingResponse:
    """The same predictions as a table for spreadsheets, whole."""
    headers = HEADERS | {"content-disposition": 'attachment; filename="predictions.csv"'}
    return StreamingResponse(_lines(chosen), headers=headers, media_type="text/csv; charset=utf-8")


def _lines(chosen: dict[str, Any]) -> Iterator[str]:
    text = io.StringIO()
    csv.writer(text).writerow(COLUMNS)
    with reading() as connection:
        query = _query(connection, chosen) | {"after": None, "after_image": None, "limit": MOST}
        for row in ledger.stream(connection, "select_gallery", query):
            write_csv(text, [[row[name] for name in COLUMNS]])
            if text.tell() > 2**16:
                yield text.getvalue()
                text = io.StringIO()
    yield text.getvalue()


def _query(connection: ledger.Connection, chosen: dict[str, Any]) -> dict[str, Any]:
    """As the queries want it, with the newest window where none is chosen."""
    newest = next(iter(ledger.fetch(connection, "select_newest_window")), {"period": None, "version": None})
    correct = {"yes": True, "no": False, "": None}[chosen["agrees"]]
    query = chosen | {"correct": correct, "sure": chosen["order"] == "sure"}
    return query | {name: chosen[name] or newest[name] for name in ("period", "version")}
