"""What became of one file: found by its name or its content among however many there are, and its whole life."""

import datetime

import ledger_rows as seeding
import psycopg
import pytest
from fastapi import HTTPException
from ledger_rows import HOUR, File, Run, digest, refused, vanished
from psycopg import ClientCursor
from shown_pages import HOSTILE, is_harmless, render

from strandline import ledger
from strandline.ingest import load as predictions
from strandline.labels import load as labels
from strandline.pages import files

FILES = [
    File("IMG_0001.jpg", source="shop1"),
    File("IMG_0002.jpg"),
    File("img_0002.png"),
    File("copy.jpg", content="IMG_0002.jpg"),
    refused("IMG_0003.jpg"),
    refused("again.jpg", content="IMG_0003.jpg"),
    vanished("gone%_.jpg"),
    File(f"a{'n' * 300}z"),
]


@pytest.fixture
def run(database) -> Run:
    run = Run("run", seeding.register(), FILES)
    predictions.load("run", run.ready())
    ledger.close_run("run")
    return run


def names(found):
    return [file["fname"].rpartition("/")[2] for file in found["files"]]


def entry_id(name):
    with ledger.connect("ingest") as connection:
        query = "SELECT entry_id FROM entries WHERE display_name LIKE %s"
        return connection.execute(query, (f"%/{name}",)).fetchone()["entry_id"]


@pytest.mark.parametrize(
    ("asked", "way", "found"),
    [
        ("IMG_0002", "start", ["IMG_0002.jpg", "img_0002.png"]),
        ("img_0002.JPG", "start", ["IMG_0002.jpg"]),
        ("0003.jpg", "end", ["IMG_0003.jpg"]),
        ("2026-11-21T08/cat/IMG_0001", "start", ["IMG_0001.jpg"]),
        ("shop1/2026-11-21T08/cat/IMG", "start", ["IMG_0001.jpg"]),
        ("shop2/2026-11-21T08/cat/IMG", None, []),
        ("gone%", "start", ["gone%_.jpg"]),
        ("%", None, []),
        ("_0002.png", "end", ["img_0002.png"]),
        (digest("IMG_0002.jpg"), "content", ["IMG_0002.jpg", "copy.jpg"]),
        (digest("IMG_0003.jpg")[:12].upper(), "content", ["IMG_0003.jpg", "again.jpg"]),
        (digest("nothing"), None, []),
        ("shop1/", None, []),
        (f"A{'n' * 300}z", "start", [f"a{'n' * 300}z"]),
        (f"{'n' * 290}Z", "end", [f"a{'n' * 300}z"]),
    ],
)
def test_files_are_found_by_how_their_names_begin_or_end_and_by_content(run, asked, way, found):
    shown = files.find_files(q=f" {asked} ")
    assert (shown["way"], names(shown)) == (way, found)


def test_a_way_that_is_asked_for_is_the_only_one(run):
    assert names(files.find_files(q="IMG_0003.jpg", by="end")) == ["IMG_0003.jpg"]
    assert names(files.find_files(q="0003.jpg", by="start")) == []
    assert names(files.find_files(q="IMG", by="content")) == []


def test_without_a_question_the_newest_files_are_shown(run):
    assert names(files.find_files()) == [file.name for file in reversed(FILES)]


@pytest.mark.parametrize("asked", ["", "img", "jpg", digest("IMG_0002.jpg")])
def test_files_are_shown_page_by_page_each_once(run, monkeypatch, asked):
    everything = names(files.find_files(q=asked))
    monkeypatch.setattr(files, "PAGE", 1)
    found, seen = files.find_files(q=asked), []
    while found["next"]:
        seen += names(found)
        found = files.find_files(q=asked, **found["next"])
    assert seen + names(found) == everything
    assert len(everything) > 1


def test_searches_use_their_indexes_among_many_files(database):
    with psycopg.connect(database.superuser, cursor_factory=ClientCursor) as connection:
        connection.execute("INSERT INTO drops VALUES ('', %s, %s)", (HOUR, HOUR + datetime.timedelta(hours=1)))
        connection.execute(
            "INSERT INTO entries (drop_at, name, version, display_name, size, modified_at)"
            " SELECT %s, n::text::bytea, '1-1', '2026-11-21T08/cat/' || md5(n::text) || '.jpg', 1, now()"
            " FROM generate_series(1, 20000) AS n",
            (HOUR,),
        )
        connection.execute("ANALYZE entries")
        page = {"after": 0, "after_key": "", "limit": 50, "path": "", "before": 10**6}
        for query, name, index in (
            ("select_files_by_start", "3a4b", "entries_name_start"),
            ("select_files_by_start", "3", "entries_name_start"),
            ("select_files_by_end", "b.jpg", "entries_name_end"),
            ("select_files_by_content", "3a4b3a4b3a4b", "outcomes_refused_content"),
            ("select_latest_files", "", "entries_pkey"),
        ):
            sql = ledger.query_files()[query].read_text()
            plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {sql}", page | {"name": name}))
            assert index in plan, plan
            assert "Seq Scan on entries" not in plan, plan
        for query, name in (("select_files_by_start", "ff"), ("select_files_by_end", "ff.jpg")):
            sql = ledger.query_files()[query].read_text()
            explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}"
            (row,) = connection.execute(explain, page | {"name": name, "limit": 5}).fetchone()
            assert 0 < row[0]["Plan"]["Shared Hit Blocks"] + row[0]["Plan"]["Shared Read Blocks"] < 60


def test_a_file_that_was_ingested_shows_its_whole_life(run, database):
    labels.record(digest("IMG_0002.jpg"), "dog", "ada")
    with psycopg.connect(database.superuser) as connection:
        connection.execute(
            "INSERT INTO datasets VALUES (%s, 'training', 1, 'labels', '[]', '{}', 'tester')", (digest("set"),)
        )
        connection.execute("INSERT INTO dataset_images VALUES (%s, %s, 'dog')", (digest("set"), digest("IMG_0002.jpg")))
    found = files.show_file(entry_id("IMG_0002.jpg"))
    assert found["file"]["state"] == "ingested"
    assert [one["run_id"] for one in found["runs"]] == ["run"]
    assert [one["fname"] for one in found["same_content"]] == ["2026-11-21T08/cat/copy.jpg"]
    (prediction,) = found["predictions"]
    assert prediction["likeliest"][0] == {"label": prediction["label"], "probability": prediction["confidence"]}
    assert (found["label"]["label"], found["label"]["source"]) == ("dog", "person")
    assert {(one["source"], one["labeller"], one["label"]) for one in found["words"]} == {
        ("path", None, "cat"),
        ("person", "ada", "dog"),
    }
    assert [(one["kind"], one["label"]) for one in found["datasets"]] == [("training", "dog")]
    assert [(event["what"], event["run_id"] or event["says"]) for event in found["life"]] == [
        ("modified", ""),
        ("listed", "run"),
        ("ingested", "run"),
        ("classified", f"as {prediction['label']}, {prediction['confidence']:.1%}"),
        ("labelled", "dog, by ada"),
        ("frozen", "in a training set"),
    ]
    html = render("file.html", found)
    assert f'src="/strandline/images/{digest("IMG_0002.jpg")}.png"' in html
    assert "to learn from" in html
    assert 'href="/strandline/runs/run"' in html


def test_a_duplicate_shows_the_image_that_it_is(run):
    found = files.show_file(entry_id("copy.jpg"))
    assert found["image"]["entry_id"] == entry_id("IMG_0002.jpg")
    assert "it is a duplicate" in render("file.html", found)


def test_a_refused_file_shows_why_and_has_no_image(run):
    found = files.show_file(entry_id("IMG_0003.jpg"))
    assert found["means"] == "The file ends before its image does."
    assert [one["fname"] for one in found["same_content"]] == ["2026-11-21T08/cat/again.jpg"]
    assert (found["image"], found["predictions"], found["words"]) == (None, [], [])
    html = render("file.html", found)
    assert f"/strandline/quarantine/{entry_id('IMG_0003.jpg')}.png" in html
    assert "/images/" not in html


def test_an_image_that_could_not_be_classified_shows_why(database):
    run = Run("run", seeding.register(), [File("a.jpg")])
    predictions.load("run", run.ready(failing=["a.jpg"]))
    found = files.show_file(entry_id("a.jpg"))
    assert [one["reason"] for one in found["failures"]] == ["NOT_FINITE"]
    assert "NOT_FINITE" in render("file.html", found)


def test_a_listed_file_that_nothing_has_become_of_yet_says_so(database):
    Run("run", seeding.register(), [File("a.jpg")]).record()
    html = render("file.html", files.show_file(entry_id("a.jpg")))
    assert "nothing has become of it yet" in html


def test_other_versions_of_a_file_and_what_was_noted_are_shown(run, database):
    number = entry_id("gone%_.jpg")
    with psycopg.connect(database.superuser) as connection:
        connection.execute(
            "INSERT INTO entries (source, drop_at, name, version, display_name, size, modified_at)"
            " SELECT source, drop_at, name, '100-1-again1', display_name, size, modified_at"
            " FROM entries WHERE entry_id = %s",
            (number,),
        )
        connection.execute("UPDATE outcomes SET notes = 'ALPHA UNKNOWN_LABEL' WHERE entry_id = %s", (number,))
    found = files.show_file(number)
    assert [one["version"] for one in found["versions"]] == ["100-1-again1"]
    assert found["notes"] == {"ALPHA": "Transparency was composited on white.", "UNKNOWN_LABEL": None}
    assert "100-1-again1" in render("file.html", found)


def test_a_file_that_is_not_there_is_named(database):
    with pytest.raises(HTTPException, match="number 7 in the ledger") as raised:
        files.show_file(7)
    assert raised.value.status_code == 404


def test_pages_without_files_say_what_to_do(database):
    assert "Put images into the landing zone" in render("files.html", files.find_files())
    assert "No file fits" in render("files.html", files.find_files(q="a"))


def test_nothing_of_a_file_becomes_markup(database):
    run = Run("run", seeding.register(), [File(f"{HOSTILE}.jpg"), refused(f"{HOSTILE}2.jpg")])
    predictions.load("run", run.ready())
    with psycopg.connect(database.superuser) as connection:
        connection.execute(
            "UPDATE outcomes SET detail = %s, reason = %s WHERE state = 'quarantined'", (HOSTILE, HOSTILE)
        )
        connection.execute("UPDATE outcomes SET notes = %s", (HOSTILE,))
        connection.execute("UPDATE predictions SET label = %s", (HOSTILE,))
        connection.execute("UPDATE images SET format = %s, mode = %s", (HOSTILE, HOSTILE))
        connection.execute("UPDATE model_versions SET name = %s, classes = ARRAY[%s, 'b', 'c']", (HOSTILE, HOSTILE))
        connection.execute("UPDATE entries SET path_label = %s, version = version || %s", (HOSTILE, HOSTILE))
        connection.execute(
            "INSERT INTO labels (image_id, source, labeller, label) SELECT image_id, 'person', %s, %s FROM images",
            (HOSTILE, HOSTILE),
        )
    pages = [render("files.html", files.find_files(q=q)) for q in ("", HOSTILE, f"{HOSTILE}2.jpg")]
    pages += [render("file.html", files.show_file(number)) for number in (1, 2)]
    for html in pages:
        assert "&lt;img src=x" in html
        assert is_harmless(html)
