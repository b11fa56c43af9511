"""What was refused is shown whole, a page at a time, and nothing of it is taken for markup."""

import datetime

import psycopg
import pytest
from fastapi import HTTPException
from ledger_rows import HOUR, File, Run, refused, register, rejected
from psycopg.rows import dict_row
from starlette.requests import Request

from strandline import ledger
from strandline.ingest import load
from strandline.pages import rooms
from strandline.pages.quarantine import FILES, quarantine

HOSTILE = "<script>alert(1)</script>{{ 7*7 }}'\"><b>.jpg"
LANDED = "2026-11-21T08/cat/"


@pytest.fixture
def filled(database) -> None:
    files = [refused(f"{number:03}.jpg", "CORRUPT") for number in range(FILES + 7)]
    files += [refused(HOSTILE, "TRUNCATED"), rejected("notes.txt"), File("fine.jpg")]
    run = Run("manual__2026-11-21T08:00:00+00:00", register(), files)
    run.record()
    run.write_outcomes()
    load.load(run.run_id, run.classify())


def shown(facts: rooms.Facts) -> str:
    scope = {"type": "http", "path": "/strandline/quarantine", "root_path": "/strandline", "headers": []}
    return rooms.render(Request(scope), "quarantine.html", facts).body.decode()


def test_every_refused_file_is_on_one_page_and_no_other(filled):
    first = quarantine()
    second = quarantine(before=first["next"])
    names = [file["fname"] for page in (first, second) for file in page["files"]]
    assert len(first["files"]) == FILES
    assert len(names) == len(set(names)) == FILES + 9
    assert second["next"] is None
    assert f"{LANDED}fine.jpg" not in names


def test_groups_say_what_it_is_and_where(filled):
    groups = {(group["reason"], group["folder"]): group for group in quarantine()["groups"]}
    assert groups["CORRUPT", "cat"]["files"] == FILES + 7
    assert groups["CORRUPT", "cat"]["meaning"] == "The file is not what its format asks for."
    assert groups["NOT_IMAGE", "cat"]["files"] == 1
    assert groups["TRUNCATED", "cat"]["first_period"] == HOUR


def test_filters_leave_what_fits_them(filled):
    assert [file["fname"] for file in quarantine(reason="TRUNCATED")["files"]] == [LANDED + HOSTILE]
    assert quarantine(reason="TRUNCATED", folder="dog")["files"] == []
    assert quarantine(period=HOUR + datetime.timedelta(hours=1))["files"] == []
    assert len(quarantine(period=HOUR, source="")["files"]) == FILES


def test_a_page_of_hostile_names_is_no_markup(filled):
    page = shown(quarantine(reason="TRUNCATED"))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "49" not in page.split("<main", 1)[1].split("First seen")[0]


def test_without_refused_files_the_page_says_so(database):
    assert "Nothing was refused" in shown(quarantine())


def test_a_place_that_is_none_is_refused(database):
    with pytest.raises(HTTPException, match="no place"):
        quarantine(before="2026-99-99T00:00,1")


def test_the_latest_are_found_by_an_index(filled, database):
    query = (ledger.query_files()["select_refused"]).read_text()
    chosen = dict.fromkeys(("reason", "source", "folder", "period", "before", "before_entry"))
    with psycopg.connect(database.analyst, row_factory=dict_row) as connection:
        for way in ("seqscan", "bitmapscan", "hashjoin", "mergejoin"):
            connection.execute(f"SET enable_{way} = off")
        plan = connection.execute(f"EXPLAIN (FORMAT JSON) {query}", chosen | {"limit": 51}).fetchone()
    assert "outcomes_refused" in str(plan)
    assert "'Sort'" not in str(plan)
