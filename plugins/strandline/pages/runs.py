"""Runs: what each listed, what became of it, and what it took."""

import datetime
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import Depends, HTTPException

from strandline import ledger, settings
from strandline.pages import shards
from strandline.pages.parameters import TextInPath
from strandline.pages.rooms import Facts, Room, reading

PAGE = 50
SHARDS = 50  # the slowest
SOURCES = 100
COUNTED = 300_000  # entries of a run, at the most, that a page counts by source: a million take longer than it may
EXAMPLES = 3  # files of each reason
SAMPLE = 24  # images
room = Room("ingest_images")


@room.show("/runs", "runs.html")
def list_runs(
    kind: Literal["", "scheduled", "manual", "backfill"] = "",
    books: Literal["", "open", "closed"] = "",
    before: datetime.datetime | None = None,
) -> Facts:
    """Runs, the newest first.

    Args:
        before: only those that began before this time; `next` is the one to go on from, null on the last page.

    Raises:
        HTTPException: the ledger does not answer.
    """
    query = {"kind": kind, "books": books, "before": before, "limit": PAGE}
    with reading() as connection:
        runs = ledger.fetch(connection, "select_runs_page", query)
    following = runs[-1]["started_at"] if len(runs) >= PAGE else None
    return {"kind": kind, "books": books, "before": before, "runs": runs, "next": following}


@room.show("/runs/{run_id:path}", "run.html")
def show_run(run_id: TextInPath, tries: Annotated[Sequence[dict[str, Any]], Depends(shards.tries)] = ()) -> Facts:
    """A run: its balance, its time, what it refused, and its validation.

    Raises:
        HTTPException: there is no such run, or the ledger does not answer.
    """
    query = {"run_id": run_id}
    with reading() as connection:
        found = ledger.fetch(connection, "select_run_of_page", query)
        if not found:
            raise HTTPException(404, f"there is no run {run_id} in the ledger: it has not listed anything")
        (run,) = found
        (phases,) = ledger.fetch(connection, "select_run_phases", query)
        return {
            "run": run,
            "phases": phases,
            "shards": ledger.fetch(connection, "select_run_batches", query | {"limit": SHARDS}),
            "over_time": shards.over_time(
                run, ledger.fetch(connection, "select_sizes_of_shards", query), tries, SHARDS
            ),
            "sources": ledger.fetch(connection, "select_run_sources", query | {"limit": SOURCES})
            if run["listed"] <= COUNTED
            else None,
            "reasons": ledger.fetch(connection, "select_run_reasons", query | {"examples": EXAMPLES}),
            "expectations": ledger.fetch(connection, "select_run_validation", query),
            "images": ledger.fetch(connection, "select_run_sample", query | {"limit": SAMPLE}),
            "validation": settings.get().run_folder(run_id).name,
        }
