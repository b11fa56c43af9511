"""What was refused, and why: by groups to see the cause, and file by file. From here a person has it listed again, or
says that nothing has to be done about it.
"""

import datetime
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlencode

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import Depends, Form, HTTPException, Query, Request
from fastapi.responses import RedirectResponse, Response, StreamingResponse
from psycopg.types.json import Jsonb
from pydantic import BaseModel, Field, model_validator

from strandline import ledger, periods, settings
from strandline.ingest.listing import LIMITS
from strandline.pages.exports import MOST as MOST_ROWS
from strandline.pages.exports import as_csv
from strandline.pages.parameters import LARGEST, PLAIN
from strandline.pages.rooms import Facts, Room, base, editing, may_edit, reading
from strandline_contract import reasons

LATEST = 10_000  # files that are grouped
GROUPS = 100
FILES = 50  # a page
MOST = 1000  # files that a step names one by one
WHY = 200  # characters
DAG = "ingest_images"  # who may edit it may discard
LISTS = {"no": "select_refused", "yes": "select_discarded"}
FILTERS = ("reason", "source", "folder", "period")
COLUMNS = (
    *("entry_id", "fname", "source", "drop_at", "folder", "state", "reason", "detail", "sha256", "size", "run_id"),
    *("recorded_at", "discarded_by", "discarded_why", "discarded_at"),
)
room = Room(DAG)

Text = Annotated[str | None, Query(pattern=PLAIN, max_length=5000)]
Filter = Annotated[str | None, Field(pattern=PLAIN, max_length=5000)]
Number = Annotated[int, Field(ge=0, le=LARGEST)]


class Discard(BaseModel):
    """Refused files about which nothing has to be done, and why: `entries` of them, or all that fit the filters
    `reason`, `source`, `folder` and `period` and were recorded by `until`. With `take_back`, they have to be looked at
    again.
    """

    why: str = Field(pattern=r"^[^\x00]*\S[^\x00]*$", max_length=WHY)
    entries: list[Number] | None = Field(default=None, min_length=1, max_length=MOST)
    reason: Filter = None
    source: Filter = None
    folder: Filter = None
    period: datetime.datetime | None = None
    until: datetime.datetime | None = None
    take_back: bool = False

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if self.entries is None and all(getattr(self, name) is None for name in FILTERS):
            raise ValueError("choose files, or a filter that they fit")
        return self


@room.show("/quarantine", "quarantine.html")
def quarantine(
    reason: Text = None,
    source: Text = None,
    folder: Text = None,
    period: datetime.datetime | None = None,
    discarded: Literal["no", "yes"] = "no",
    before: Annotated[str | None, Query(pattern=r"^[0-9TZ:.+-]+,[0-9]+$", max_length=80)] = None,
    done: Annotated[int | None, Query(ge=0, le=LARGEST)] = None,
    edits: Annotated[bool, Depends(may_edit(DAG))] = False,
) -> Facts:
    """Files that were quarantined, rejected or gone, the latest first; without a filter also their groups.

    Args:
        period: the first moment of a drop.
        discarded: those about which nothing has to be done, instead of those that a person has to look at.
        before: goes on behind a file, as `next` of the answer before has it.
        done: how many were discarded, or taken back, just before.

    Raises:
        HTTPException: `before` is no such word, or the ledger does not answer.
    """
    chosen = {"reason": reason, "source": source, "folder": folder, "period": period}
    at, entry = _position(before)
    with reading() as connection:
        query = chosen | {"before": at, "before_entry": entry, "limit": FILES + 1}
        files = ledger.fetch(connection, LISTS[discarded], query)
        everything = before is None and discarded == "no" and all(value is None for value in chosen.values())
        bounds = {"latest": LATEST, "limit": GROUPS}
        groups = ledger.fetch(connection, "count_refused_groups", bounds) if everything else []
    more = files[FILES - 1] if len(files) > FILES else None
    return {
        "chosen": chosen,
        "discarded": discarded,
        "done": done,
        "edits": edits,
        "longest_why": WHY,
        "grouped": LATEST,
        "groups": [group | {"meaning": reasons.MEANINGS.get(group["reason"])} for group in groups],
        "files": [
            file | {"meaning": reasons.MEANINGS.get(file["reason"]), "period": periods.get().write(file["drop_at"])}
            for file in files[:FILES]
        ],
        "limits": {name: getattr(settings.get().decoding, name) for name in LIMITS},
        "next": more and f"{more['recorded_at'].isoformat()},{more['entry_id']}",
        "read_at": datetime.datetime.now(datetime.UTC),
    }


@room.api.get("/quarantine.csv", response_class=StreamingResponse)
def export(
    reason: Text = None,
    source: Text = None,
    folder: Text = None,
    period: datetime.datetime | None = None,
    discarded: Literal["no", "yes"] = "no",
) -> StreamingResponse:
    """The same files as a table for spreadsheets, whole, up to a million."""
    query = {"reason": reason, "source": source, "folder": folder, "period": period}
    return as_csv("quarantine", COLUMNS, _rows(discarded, query))


def _rows(discarded: str, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    with reading() as connection:
        everything = query | {"before": None, "before_entry": None, "limit": MOST_ROWS}
        yield from ledger.stream(connection, LISTS[discarded], everything)


@room.api.post("/quarantine/discard", dependencies=editing(DAG))
def discard(said: Discard, user: GetUserDep) -> dict[str, int]:
    """Record that nothing has to be done about refused files, or take that back; `files` says of how many that is new.

    Raises:
        HTTPException: the ledger does not answer.
    """
    chosen = said.model_dump(mode="json", exclude_none=True, exclude={"why", "take_back"})
    query = said.model_dump() | {
        "who": str(user.get_name()),
        "what": "taken back" if said.take_back else "discarded",
        "discarded": said.take_back,
        "chosen": Jsonb(chosen),
    }
    try:
        with ledger.connect("people") as connection:
            (step,) = ledger.fetch(connection, "discard_refused", query)
    except ledger.Unreachable as error:
        raise HTTPException(503, str(error)) from error
    return {"files": step["files"]}


@room.pages.post("/quarantine/discard", dependencies=editing(DAG))
def discard_by_form(request: Request, user: GetUserDep, said: Annotated[Discard, Form()]) -> Response:
    """Record the same; then what is left of the list that was shown, by the filters in the address."""
    shown = {**request.query_params, "done": discard(said, user)["files"]}
    return RedirectResponse(f"{base(request)}/quarantine?{urlencode(shown)}", 303)


def _position(before: str | None) -> tuple[datetime.datetime | None, int | None]:
    if before is None:
        return None, None
    moment, _, entry = before.partition(",")
    try:
        return datetime.datetime.fromisoformat(moment), int(entry)
    except ValueError as error:
        raise HTTPException(422, f"{before} is no place in the list") from error
