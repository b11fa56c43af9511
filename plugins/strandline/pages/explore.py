"""What a model said of the images of a drop: a gallery by class, confidence, and whether the path says the same."""

import datetime
import io
import itertools
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from fastapi import Depends, Query
from fastapi.responses import StreamingResponse

from strandline import ledger
from strandline.pages.exports import MOST, as_csv, download
from strandline.pages.parameters import PLAIN
from strandline.pages.rooms import Facts, Room, reading

IMAGES = 60  # a page
COLUMNS = (
    *("image_id", "fname", "source", "drop_at", "path_label", "label", "confidence", "correct", "model_version"),
    *("run_id", "width", "height", "brightness", "contrast"),
)
KINDS = {
    "drop_at": pa.timestamp("us", "UTC"),
    "correct": pa.bool_(),
    **dict.fromkeys(("confidence", "brightness", "contrast"), pa.float32()),
    **dict.fromkeys(("width", "height"), pa.int32()),
}
SCHEMA = pa.schema([(name, KINDS.get(name, pa.string())) for name in COLUMNS])
ROWS_AT_ONCE = 16_384  # of Parquet: a group, which memory holds
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
    return as_csv("predictions", COLUMNS, _rows(chosen))


@room.api.get("/explore.parquet", response_class=StreamingResponse)
def export_parquet(chosen: Chosen) -> StreamingResponse:
    """The same predictions as Parquet, whole, with the types that they have."""
    return download("predictions.parquet", "application/vnd.apache.parquet", _groups(chosen))


def _groups(chosen: dict[str, Any]) -> Iterator[bytes]:
    """A Parquet file, a group of rows at a time."""
    written = _Written()
    rows = _rows(chosen)
    with pq.ParquetWriter(written, SCHEMA) as writer:
        while group := list(itertools.islice(rows, ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(group, SCHEMA))
            yield written.take()
    yield written.take()


class _Written(io.RawIOBase):
    """What was written since it was last taken, as a file that only grows."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def write(self, part: Any) -> int:
        self.parts.append(bytes(part))
        self.size += len(self.parts[-1])
        return len(self.parts[-1])

    def take(self) -> bytes:
        taken, self.parts = b"".join(self.parts), []
        return taken


def _rows(chosen: dict[str, Any]) -> Iterator[dict[str, Any]]:
    with reading() as connection:
        query = _query(connection, chosen) | {"after": None, "after_image": None, "limit": MOST}
        yield from ledger.stream(connection, "select_gallery", query)


def _query(connection: ledger.Connection, chosen: dict[str, Any]) -> dict[str, Any]:
    """As the queries want it, with the newest window where none is chosen."""
    newest = next(iter(ledger.fetch(connection, "select_newest_window")), {"period": None, "version": None})
    correct = {"yes": True, "no": False, "": None}[chosen["agrees"]]
    query = chosen | {"correct": correct, "sure": chosen["order"] == "sure"}
    return query | {name: chosen[name] or newest[name] for name in ("period", "version")}
