"""What was refused is shown whole, a page at a time, and nothing of it is taken for markup."""

import csv
import datetime
import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs

import psycopg
import pytest
from fastapi import HTTPException
from ledger_rows import HOUR, File, Run, refused, register, rejected
from playwright.sync_api import Browser, Page, Route
from psycopg.rows import dict_row
from pydantic import ValidationError
from shown_pages import downloaded
from starlette.requests import Request

from local.bench import filled_ledger
from strandline import ledger
from strandline.ingest import load
from strandline.pages import files, rooms
from strandline.pages.quarantine import FILES, Discard, discard, discard_by_form, export, quarantine

HOSTILE = "<script>alert(1)</script>{{ 7*7 }}'\"><b>.jpg"
LANDED = "2026-11-21T08/cat/"
ANN, BOB = (SimpleNamespace(get_name=lambda name=name: name) for name in ("ann", "bob"))


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
    assert "Nothing has to be looked at" in shown(quarantine())


def test_a_place_that_is_none_is_refused(database):
    with pytest.raises(HTTPException, match="no place"):
        quarantine(before="2026-99-99T00:00,1")


@pytest.mark.parametrize(
    ("files", "filters", "index"),
    [
        ("select_refused", {}, "outcomes_refused"),
        ("select_refused", {"folder": "cat"}, "outcomes_refused_folder"),
        ("select_refused", {"source": "shop"}, "outcomes_refused_source"),
        ("select_refused", {"reason": "TRUNCATED"}, "outcomes_refused_reason"),
        ("select_discarded", {}, "discarded_files_latest"),
    ],
)
def test_the_latest_are_found_by_an_index(filled, database, files, filters, index):
    query = ledger.query_files()[files].read_text()
    chosen = dict.fromkeys(("reason", "source", "folder", "period", "before", "before_entry"))
    chosen |= {"limit": 51, **filters}
    with psycopg.connect(database.superuser) as connection:
        connection.execute("ANALYZE outcomes")
    with psycopg.connect(database.analyst, row_factory=dict_row) as connection:
        for way in ("seqscan", "bitmapscan", "hashjoin", "mergejoin"):
            connection.execute(f"SET enable_{way} = off")
        plan = connection.execute(f"EXPLAIN (FORMAT JSON) {query}", chosen).fetchone()
    assert f"'Index Name': '{index}'" in str(plan)
    assert "'Sort'" not in str(plan)


def test_a_filter_is_followed_along_its_index_past_no_other_file(database):
    """A folder, a source and a reason of which few files were ever refused, long ago, among very many."""
    filled_ledger.fill(database.owner, 20_000)
    with psycopg.connect(database.superuser) as connection:
        connection.execute(
            "UPDATE outcomes SET refused_folder = 'old', refused_source = 'old', reason = 'OLD' WHERE entry_id IN"
            " (SELECT entry_id FROM outcomes WHERE state = 'quarantined' ORDER BY entry_id LIMIT 3)"
        )
        connection.execute("ANALYZE outcomes")
    chosen = dict.fromkeys(("reason", "source", "folder", "period", "before", "before_entry")) | {"limit": 51}
    query = ledger.query_files()["select_refused"].read_text()
    with psycopg.connect(database.analyst) as connection:
        for filters in ({"folder": "old"}, {"source": "old"}, {"reason": "OLD"}):
            explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}"
            ((plan,),) = connection.execute(explain, chosen | filters).fetchone()
            assert plan["Plan"]["Actual Rows"] == 3
            assert plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] < 60


def names(facts: rooms.Facts) -> set[str]:
    return {file["fname"].removeprefix(LANDED) for file in facts["files"]}


def numbers(reason: str) -> list[int]:
    return [file["entry_id"] for file in quarantine(reason=reason)["files"]]


def rows(query: str) -> list[dict]:
    with ledger.connect("ingest") as connection:
        return connection.execute(query).fetchall()


def to_be_looked_at() -> int:
    with rooms.reading() as connection:
        return ledger.fetch(connection, "count_refused", {"hours": 48})[0]["files"]


def test_a_discarded_file_leaves_the_list_and_the_count_and_stays_refused(filled):
    assert to_be_looked_at() == FILES + 9
    assert discard(Discard(why="a note", entries=numbers("NOT_IMAGE")), ANN) == {"files": 1}
    assert quarantine(reason="NOT_IMAGE")["files"] == []
    assert ("NOT_IMAGE", "cat") not in {(group["reason"], group["folder"]) for group in quarantine()["groups"]}
    assert to_be_looked_at() == FILES + 8
    (file,) = quarantine(discarded="yes")["files"]
    assert (file["fname"], file["discarded_by"], file["discarded_why"]) == (f"{LANDED}notes.txt", "ann", "a note")
    page = shown(quarantine(discarded="yes"))
    assert "a note" in page
    assert "ann" in page
    assert rows("SELECT state FROM outcomes JOIN entries USING (entry_id) WHERE display_name LIKE '%notes.txt'") == [
        {"state": "rejected"}
    ]
    ledger.verify()


def test_what_was_discarded_is_taken_back_in_the_same_way(filled):
    chosen = numbers("NOT_IMAGE")
    discard(Discard(why="a note", entries=chosen), ANN)
    assert discard(Discard(why="it is none", entries=chosen, take_back=True), BOB) == {"files": 1}
    assert names(quarantine(reason="NOT_IMAGE")) == {"notes.txt"}
    assert quarantine(discarded="yes")["files"] == []
    discard(Discard(why="it is one", entries=chosen), BOB)
    life = [(event["what"], event["says"]) for event in files.show_file(chosen[0])["life"] if event["says"]]
    assert life == [
        ("discarded", "by ann: a note"),
        ("taken back", "by bob: it is none"),
        ("discarded", "by bob: it is one"),
    ]
    ledger.verify()


def test_all_of_a_group_are_discarded_at_once_and_no_other(filled):
    everything = {"reason": "CORRUPT", "folder": "cat"}
    assert discard(Discard(why="the camera was broken", **everything), ANN) == {"files": FILES + 7}
    assert names(quarantine()) == {HOSTILE, "notes.txt"}
    steps = rows(
        "SELECT who, what, details - 'at' - 'discard_id' AS details FROM audit_log WHERE of_table = 'discards'"
    )
    said = {"who": "ann", "what": "discarded", "why": "the camera was broken", "files": FILES + 7, "chosen": everything}
    assert steps == [{"who": "ann", "what": "discarded", "details": said}]
    assert discard(Discard(why="again", take_back=True, reason="CORRUPT"), BOB) == {"files": FILES + 7}
    ledger.verify()


def test_files_in_no_folder_are_a_group_too(filled):
    assert discard(Discard(why="x", folder=""), ANN) == {"files": 0}
    assert discard(Discard(why="x", source="", folder="cat"), ANN) == {"files": FILES + 9}


def test_what_was_refused_after_the_list_was_read_is_not_discarded_unseen(filled):
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    assert discard(Discard(why="x", reason="CORRUPT", until=before), ANN) == {"files": 0}


def test_a_step_that_changes_nothing_is_no_step(filled):
    chosen = numbers("NOT_IMAGE")
    discard(Discard(why="x", entries=chosen), ANN)
    assert discard(Discard(why="x", entries=chosen), BOB) == {"files": 0}
    assert len(rows("SELECT FROM discards")) == len(rows("SELECT FROM audit_log WHERE of_table = 'discards'")) == 1


def test_a_file_that_was_not_refused_cannot_be_discarded(filled):
    (fine,) = rows("SELECT entry_id FROM outcomes WHERE state = 'ingested'")
    assert discard(Discard(why="x", entries=[fine["entry_id"]]), ANN) == {"files": 0}
    with ledger.connect("people") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("INSERT INTO discarded_files VALUES (%s, now(), 1)", [fine["entry_id"]])


@pytest.mark.parametrize(
    "said", [{"why": "x"}, {"why": " ", "entries": [1]}, {"why": "x", "entries": []}, {"entries": [1]}]
)
def test_a_step_says_why_and_of_what(said):
    with pytest.raises(ValidationError):
        Discard(**said)


def test_only_who_may_edit_is_offered_to_discard(filled):
    assert "Discard the ticked" in shown(quarantine(edits=True))
    page = shown(quarantine(edits=False))
    assert "Discard the ticked" not in page
    assert "may edit the DAG" in page


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Shows what the test's `pages` say, with the real script and style; what is posted is kept in `posted`."""
    with browser.new_context(base_url="http://pages") as context:
        yield context.new_page()


def serve(page: Page, found: rooms.Facts) -> list[dict[str, list[str]]]:
    """Show the list to the browser; returns the forms that it sends from now on."""
    sent: list[dict[str, list[str]]] = []

    def answer(route: Route) -> None:
        path = route.request.url.partition("/static/")[2]
        if route.request.method == "POST":
            sent.append(parse_qs(route.request.post_data, keep_blank_values=True))
            route.fulfill(body="done")
        elif path:
            route.fulfill(path=Path(rooms.__file__).with_name("static") / path)
        else:
            route.fulfill(body=shown(found), content_type="text/html")

    page.route("**/*", answer)
    page.goto("/strandline/quarantine")
    return sent


def test_what_is_shown_is_saved_as_it_is_sorted_and_as_no_formula(filled, page):
    run = Run("other", register("other", champion=False), [refused("a.jpg", source="=1+1"), refused('"b",.jpg')])
    load.load(run.run_id, run.ready())
    serve(page, quarantine(reason="TRUNCATED"))
    page.get_by_role("button", name="File", exact=True).click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="This table as CSV").last.click()
    rows = list(csv.DictReader(saved.value.path().open(newline="")))
    assert saved.value.suggested_filename == "Quarantine-Strandline.csv"
    assert sorted(row["File"] for row in rows) == sorted(
        ["'=1+1/2026-11-21T08/cat/a.jpg", LANDED + '"b",.jpg', LANDED + HOSTILE]
    )
    assert rows[0].keys() == {"File", "Reason", "Drop", "Bytes", "First seen"}
    assert {row["Bytes"] for row in rows} == {"100"}
    assert page.locator("tbody tr").last.locator("th").inner_text().strip() in rows[-1]["File"]


def test_all_refused_files_are_one_table(filled):
    answer = export(reason="CORRUPT", folder="cat")
    rows = list(csv.DictReader(io.StringIO("".join(map(str, downloaded(answer))))))
    assert answer.headers["content-disposition"] == 'attachment; filename="quarantine.csv"'
    assert len({row["entry_id"] for row in rows}) == FILES + 7
    assert {row["reason"] for row in rows} == {"CORRUPT"}


def test_files_are_ticked_one_by_one_or_all_on_the_page(filled, page):
    sent = serve(page, quarantine(edits=True))
    button = page.get_by_role("button", name="Discard the ticked")
    assert button.is_disabled()
    page.get_by_label("All on this page").check()
    boxes = page.locator("input[name=entries]")
    assert boxes.count() == FILES
    boxes.first.uncheck()
    page.get_by_label("Why").fill("the camera was broken")
    button.press("Enter")
    page.get_by_text("done").wait_for()
    (form,) = sent
    assert form["why"] == ["the camera was broken"]
    assert len(form["entries"]) == FILES - 1
    assert Discard(why=form["why"][0], entries=form["entries"]).entries


def test_a_filtered_list_is_discarded_as_it_was_filtered(filled, page):
    sent = serve(page, quarantine(edits=True, reason="CORRUPT", source="", folder="cat"))
    page.get_by_text("Discard all of them").click()
    page.get_by_label("Why").last.fill("the camera was broken")
    page.get_by_role("button", name="Discard all that fit the filters").click()
    page.get_by_text("done").wait_for()
    (form,) = sent
    assert Discard(**{name: values[0] for name, values in form.items()}).source == ""
    assert {"reason", "source", "folder", "until", "why"} == form.keys()
    assert discard(Discard(**{name: values[0] for name, values in form.items()}), ANN) == {"files": FILES + 7}


def test_the_ticked_are_listed_again_in_one_run_under_other_limits(filled, page):
    """Airflow is asked for it, as the reader."""
    asked: list[dict] = []
    found = quarantine(reason="CORRUPT")
    serve(page, found)
    page.route("**/api/v2/**", lambda route: (asked.append(route.request.post_data_json), route.fulfill(status=403)))
    button = page.get_by_role("button", name="List the ticked again")
    assert button.is_disabled()
    first, *_, last = [file["fname"] for file in found["files"]]
    for name in (first, last):
        page.get_by_label(name, exact=True).check()
    page.get_by_text("under other limits").click()
    page.get_by_label("Pixels at most").fill("300000000")
    button.click()
    page.get_by_text("You may not trigger this DAG.").wait_for()
    (run,) = asked
    assert run["conf"] == {"release": [first, last], "period": "2026-11-21T08", "max_pixels": 300_000_000}


def test_after_a_step_the_same_list_says_what_was_done(filled):
    scope = {"type": "http", "path": "/strandline/quarantine/discard", "root_path": "/strandline", "headers": []}
    request = Request(scope | {"query_string": b"discarded=no&folder=cat"})
    answer = discard_by_form(request, ANN, Discard(why="x", reason="CORRUPT"))
    assert answer.headers["location"] == f"/strandline/quarantine?discarded=no&folder=cat&done={FILES + 7}"
    assert f"{FILES + 7} files discarded" in shown(quarantine(folder="cat", done=FILES + 7))
