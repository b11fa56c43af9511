"""Files: what became of each one, whatever it is called."""

import datetime
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from fastapi import HTTPException

from strandline import ledger
from strandline.pages.parameters import LARGEST, Number, NumberInPath, Text
from strandline.pages.rooms import Facts, Room, reading
from strandline_contract import reasons

PAGE = 50
MOST = 20  # of each thing that a file's page lists
NAME = 255  # characters of a name that are in an index
DIGITS = re.compile(r"[0-9a-f]{12,64}")  # so many of a SHA-256 that hardly another content begins with them
NOT_SHOWN = ("name_start", "name_end", "path_sha256")
Way = Literal["start", "end", "content"]
SEARCHES: Mapping[Way, str] = {
    "start": "select_files_by_start",
    "end": "select_files_by_end",
    "content": "select_files_by_content",
}
room = Room("ingest_images")


@room.show("/files", "files.html")
def find_files(
    q: Text = "", by: Literal["", "start", "end", "content"] = "", after: Number = 0, key: Text = ""
) -> Facts:
    """Files by name or content; the newest ones if nothing is asked for.

    Args:
        q: how the file's own name begins or ends, whatever its case; folders may stand before it. Or the SHA-256 of its
            content, of which 12 digits do.
        by: in which of these ways to look; by default the first that finds something.
        after, key: go on behind this file, as `next` says, which is null on the last page.

    Raises:
        HTTPException: the ledger does not answer.
    """
    asked = q.strip()
    with reading() as connection:
        if asked:
            page = {"after": after, "after_key": key, "limit": PAGE + 1}
            way, found = _search(connection, asked, by or None, page)
        else:
            way, page = None, {"before": after or LARGEST, "limit": PAGE + 1}
            found = ledger.fetch(connection, "select_latest_files", page)
    last = found[PAGE - 1] if len(found) > PAGE else None
    following = {"by": way or "", "after": last["entry_id"], "key": last["key"]} if last else None
    return {
        "q": asked,
        "by": by,
        "way": way,
        "first": after == 0,
        "files": [_without(file, "key") for file in found[:PAGE]],
        "next": following,
    }


def _search(
    connection: ledger.Connection, asked: str, by: Way | None, page: Mapping[str, Any]
) -> tuple[Way | None, list[dict[str, Any]]]:
    """The way that finds something, and what."""
    for way in [by] if by else _ways(asked):
        name = asked.lower() if way == "content" else asked.rpartition("/")[2]
        name = name[-NAME:] if way == "end" else name[:NAME]
        query = {**page, "name": name, "path": asked}
        if name and (found := ledger.fetch(connection, SEARCHES[way], query)):
            return way, found
    return by, []


def _ways(asked: str) -> Iterator[Way]:
    if DIGITS.fullmatch(asked.lower()):
        yield "content"
    yield "start"
    yield "end"


@room.show("/files/{entry_id}", "file.html")
def show_file(entry_id: NumberInPath) -> Facts:
    """The life of a file: when it was listed, what became of it, and what was said of its image since.

    Raises:
        HTTPException: there is no such file, or the ledger does not answer.
    """
    query: dict[str, Any] = {"entry_id": entry_id, "limit": MOST}
    with reading() as connection:
        found = ledger.fetch(connection, "select_file", query)
        if not found:
            raise HTTPException(404, f"there is no file with the number {entry_id} in the ledger")
        (file,) = found
        query |= {name: file[name] for name in ("image_id", "sha256", "drop_at", "path_sha256")}
        runs = ledger.fetch(connection, "select_file_runs", query)
        query["run_ids"] = [run["run_id"] for run in runs]
        facts = {
            "file": _without(file, *NOT_SHOWN),
            "means": reasons.MEANINGS.get(file["reason"]),
            "notes": {note: reasons.NOTES.get(note) for note in (file["notes"] or "").split()},
            "runs": runs,
            "versions": ledger.fetch(connection, "select_file_versions", query),
            "same_content": ledger.fetch(connection, "select_same_content", query),
            "image": next(iter(ledger.fetch(connection, "select_image_of_page", query)), None),
            "predictions": ledger.fetch(connection, "select_image_predictions", query),
            "failures": ledger.fetch(connection, "select_image_failures", query),
            "label": next(iter(ledger.fetch(connection, "select_standing_label", query)), None),
            "words": ledger.fetch(connection, "select_image_words", query),
            "datasets": ledger.fetch(connection, "select_image_datasets", query),
            "drift": ledger.fetch(connection, "select_drift_of_drop", query),
            "discards": ledger.fetch(connection, "select_file_discards", query),
        }
    return facts | {"life": sorted(_events(facts), key=lambda event: event["at"])}


def _events(facts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What happened to a file and its image: when, what, by which run, and in whose or what words."""

    def event(at: datetime.datetime, what: str, run_id: str | None = None, says: str = "") -> dict[str, Any]:
        return {"at": at, "what": what, "run_id": run_id, "says": says}

    file = facts["file"]
    yield event(file["modified_at"], "modified")
    for number, run in enumerate(facts["runs"]):
        yield event(run["started_at"], "taken up again" if number else "listed", run["run_id"])
    if file["state"]:
        yield event(file["recorded_at"], file["state"], file["run_id"])
    for one in facts["discards"]:
        yield event(one["at"], one["what"], says=f"by {one['who']}: {one['why']}")
    for one in reversed(facts["predictions"]):
        yield event(one["predicted_at"], "classified", says=f"as {one['label']}, {one['confidence']:.1%}")
    for one in facts["words"]:
        if one["labeller"]:
            yield event(
                one["labelled_at"], "labelled", says=f"{one['label'] or 'none of the classes'}, by {one['labeller']}"
            )
    for one in facts["datasets"]:
        yield event(one["made_at"], "frozen", says=f"in a {one['kind']} set")


def _without(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}
