"""What was refused, and why: by groups to see the cause, and file by file; from here a person has it listed again."""

import datetime
from typing import Annotated

from fastapi import HTTPException, Query

from strandline import ledger
from strandline.pages.parameters import PLAIN
from strandline.pages.rooms import Facts, Room, reading
from strandline_contract import reasons

LATEST = 10_000  # files that are grouped
GROUPS = 100
FILES = 50  # a page
room = Room("ingest_images")

Text = Annotated[str | None, Query(pattern=PLAIN, max_length=5000)]


@room.show("/quarantine", "quarantine.html")
def quarantine(
    reason: Text = None,
    source: Text = None,
    folder: Text = None,
    period: datetime.datetime | None = None,
    before: Annotated[str | None, Query(pattern=r"^[0-9TZ:.+-]+,[0-9]+$", max_length=80)] = None,
) -> Facts:
    """Files that were quarantined, rejected or gone, the latest first; without a filter also their groups.

    Args:
        period: the first moment of a drop.
        before: goes on behind a file, as `next` of the answer before has it.

    Raises:
        HTTPException: `before` is no such word, or the ledger does not answer.
    """
    chosen = {"reason": reason, "source": source, "folder": folder, "period": period}
    at, entry = _position(before)
    with reading() as connection:
        query = chosen | {"before": at, "before_entry": entry, "limit": FILES + 1}
        files = ledger.fetch(connection, "select_refused", query)
        everything = before is None and all(value is None for value in chosen.values())
        bounds = {"latest": LATEST, "limit": GROUPS}
        groups = ledger.fetch(connection, "count_refused_groups", bounds) if everything else []
    more = files[FILES - 1] if len(files) > FILES else None
    return {
        "chosen": chosen,
        "grouped": LATEST,
        "groups": [group | {"meaning": reasons.MEANINGS.get(group["reason"])} for group in groups],
        "files": [file | {"meaning": reasons.MEANINGS.get(file["reason"])} for file in files[:FILES]],
        "next": more and f"{more['recorded_at'].isoformat()},{more['entry_id']}",
    }


def _position(before: str | None) -> tuple[datetime.datetime | None, int | None]:
    if before is None:
        return None, None
    moment, _, entry = before.partition(",")
    try:
        return datetime.datetime.fromisoformat(moment), int(entry)
    except ValueError as error:
        raise HTTPException(422, f"{before} is no place in the list") from error
