"""People label one image after another: none is before two of them, and what they say bears their name."""

import csv
import io
import threading
from types import SimpleNamespace

import psycopg
import pytest
from fastapi import HTTPException
from ledger_rows import File, Run, digest, register
from shown_pages import downloaded
from starlette.requests import Request

from local.bench import filled_ledger
from strandline import ledger
from strandline.ingest import load as ingest_load
from strandline.labels import claims, load
from strandline.pages import labels, rooms

FILES = [f"{number}.jpg" for number in range(6)]
ANN, BOB = (SimpleNamespace(get_name=lambda name=name: name) for name in ("ann", "bob"))


@pytest.fixture
def asked(database) -> None:
    """A run of images of which neither a path nor a person says anything, all of them chosen."""
    run = Run("run", register(), [File(name) for name in FILES])
    run.record()
    run.write_outcomes()
    ingest_load.load(run.run_id, run.classify())
    ledger.close_run(run.run_id)
    with psycopg.connect(database.superuser) as connection:
        connection.execute("UPDATE entries SET path_label = NULL")
    load.choose_audit(["run"])


def shown(facts: rooms.Facts, template: str = "labels.html") -> str:
    scope = {"type": "http", "path": "/strandline/labels", "root_path": "/strandline", "headers": []}
    return rooms.render(Request(scope), template, facts).body.decode()


def word(image: str) -> tuple[str, str, str]:
    query = "SELECT source::text, labeller, label FROM labels WHERE image_id = %s ORDER BY labelled_at DESC LIMIT 1"
    with ledger.connect("people") as connection:
        row = connection.execute(query, [image]).fetchone()
    return tuple(row.values())


def test_two_people_are_never_asked_about_the_same_image(asked):
    taken: list[str | None] = []
    start = threading.Barrier(len(FILES))

    def ask(name: str) -> None:
        start.wait()
        taken.append(claims.claim(name))

    people = [threading.Thread(target=ask, args=[f"person {number}"]) for number in range(len(FILES))]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert sorted(filter(None, taken)) == sorted(map(digest, FILES))
    assert claims.claim("one more") is None


def test_who_asks_again_has_the_same_image(asked):
    first = claims.claim("ann")
    assert claims.claim("ann") == first
    assert claims.claim("bob") != first


def test_what_a_person_skips_is_for_others(asked):
    first = claims.claim("ann")
    claims.skip(first, "ann")
    anns = set()
    while image := claims.claim("ann"):
        anns.add(image)
        claims.skip(image, "ann")
    assert first not in anns
    assert len(anns) == len(FILES) - 1
    assert claims.claim("bob") is not None


def test_an_answer_bears_the_name_and_the_next_image_follows(asked):
    first = labels.ask(ANN, asks=True)["image_id"]
    assert labels.answer(labels.Answer(image_id=first, label="dog"), ANN) == {"new": True}
    assert labels.answer(labels.Answer(image_id=first, label="dog"), ANN) == {"new": False}
    assert word(first) == ("person", "ann", "dog")
    page = labels.ask(ANN, asks=True)
    assert page["image_id"] not in (None, first)
    assert (page["progress"]["asked"], page["progress"]["answered"]) == (len(FILES), 1)


def test_what_was_said_can_be_said_otherwise(asked):
    first = labels.ask(ANN, asks=True)["image_id"]
    labels.answer(labels.Answer(image_id=first, label="dog"), ANN)
    assert labels.ask(ANN, asks=True, image=first)["own_word"]["label"] == "dog"
    assert "You said <strong>dog</strong>" in shown(labels.ask(ANN, asks=True, image=first))
    labels.answer(labels.Answer(image_id=first), ANN)
    assert word(first) == ("person", "ann", "")


def test_what_is_no_class_is_refused(asked):
    with pytest.raises(HTTPException, match="not a class"):
        labels.answer(labels.Answer(image_id=digest(FILES[0]), label="unicorn"), BOB)


def test_a_conflict_is_shown_with_who_said_what_until_somebody_decides(asked):
    image = digest(FILES[0])
    labels.answer(labels.Answer(image_id=image, label="dog"), ANN)
    labels.answer(labels.Answer(image_id=image, label="cat"), BOB)
    (conflict,) = labels.conflicts(decides=True)["conflicts"]
    assert conflict["image_id"] == image
    assert {(word["labeller"], word["label"]) for word in conflict["words"]} == {("ann", "dog"), ("bob", "cat")}
    agreed = {row["labeller"]: (row["compared"], row["agreement"]) for row in labels.conflicts()["labellers"]}
    assert agreed == {"ann": (1, 0.0), "bob": (1, 0.0)}
    assert "How labellers agree" in shown(labels.conflicts(), "conflicts.html")
    assert "Decide" in shown(labels.conflicts(decides=True), "conflicts.html")
    assert "Decide" not in shown(labels.conflicts(decides=False), "conflicts.html")
    assert labels.decide(labels.Answer(image_id=image, label="frog"), ANN) == {"new": True}
    assert word(image) == ("decision", "ann", "frog")
    assert labels.conflicts(decides=True)["conflicts"] == []


def test_without_images_the_page_says_who_chooses_them(database):
    register()
    assert "Nothing is left to ask you" in shown(labels.ask(BOB, asks=True))


def test_who_may_not_label_takes_no_image_from_others(asked):
    page = labels.ask(BOB, asks=False)
    assert page["image_id"] is None
    assert "give none" in shown(page)
    with ledger.connect("people") as connection:
        assert connection.execute("SELECT FROM label_claims").fetchall() == []


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({}, True),  # no browser
        ({"origin": "http://here:8080", "host": "here:8080"}, True),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"origin": "http://there", "host": "here:8080"}, False),
        ({"origin": "null", "host": "here:8080"}, False),
    ],
)
def test_another_sites_page_may_not_write(headers, own):
    request = Request({"type": "http", "headers": [(k.encode(), v.encode()) for k, v in headers.items()]})
    if own:
        rooms.same_origin(request)
    else:
        with pytest.raises(HTTPException, match="another site"):
            rooms.same_origin(request)


def test_what_people_said_is_one_table(asked):
    first, second = claims.claim("ann"), claims.claim("bob")
    labels.answer(labels.Answer(image_id=first, label="cat"), ANN)
    labels.answer(labels.Answer(image_id=second, label=None), BOB)
    rows = list(csv.DictReader(io.StringIO("".join(map(str, downloaded(labels.export()))))))
    said = [(row["image_id"], row["label"], row["source"], row["labeller"]) for row in rows]
    assert said == [(first, "cat", "person", "ann"), (second, "", "person", "bob")]


def test_a_path_conflicts_with_that_of_a_duplicate(database):
    files = [File("a.jpg"), File("copy.jpg", content="a.jpg"), File("b.jpg"), File("same.jpg", content="b.jpg")]
    run = Run("run", register(), files)
    ingest_load.load(run.run_id, run.ready())
    with psycopg.connect(database.superuser) as connection:
        connection.execute("UPDATE entries SET path_label = 'dog' WHERE display_name LIKE '%copy.jpg'")
    (conflict,) = labels.conflicts()["conflicts"]
    assert (conflict["image_id"], {word["label"] for word in conflict["words"]}) == (digest("a.jpg"), {"cat", "dog"})


def test_labellers_agree_on_the_latest_images_as_the_view_has_it_of_all(asked, monkeypatch):
    for name, label in zip(FILES, ["cat", "dog", "cat", "frog", "cat", "cat"], strict=True):
        labels.answer(labels.Answer(image_id=digest(name), label="cat"), ANN)
        labels.answer(labels.Answer(image_id=digest(name), label=label), BOB)
    with rooms.reading() as connection:
        whole = connection.execute("SELECT * FROM reporting.labellers ORDER BY images DESC, labeller").fetchall()
    assert labels.conflicts()["labellers"] == whole
    monkeypatch.setattr(labels, "WORDS", 4)
    assert [(row["images"], row["agreed"]) for row in labels.conflicts()["labellers"]] == [(2, 2), (2, 2)]


@pytest.mark.parametrize(
    "query", ["count_unanswered", "insert_label_claim", "select_label_conflicts", "select_labellers"]
)
def test_what_people_are_asked_is_found_without_a_look_at_all_images(database, query):
    filled_ledger.fill(database.owner, 20_000)
    asked = {"labeller": "ann", "length": claims.LENGTH, "limit": 100, "duplicates": 20, "words": 100}
    with psycopg.connect(database.superuser) as connection:
        explain = f"EXPLAIN {ledger.query_files()[query].read_text()}".encode()
        plan = "\n".join(row[0] for row in connection.execute(explain, asked))
    for table in ("entries", "outcomes", "images"):
        assert f"Seq Scan on {table}" not in plan, plan
