"""Runs as people see them: a list by pages, and one run with its balance, its time and what it refused."""

import datetime
import uuid

import ledger_rows as seeding
import psycopg
import pytest
from airflow.models import import_all_models
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskinstancehistory import TaskInstanceHistory
from fastapi import HTTPException
from ledger_rows import File, Run, refused, rejected, vanished
from shown_pages import HOSTILE, is_harmless, render
from sqlalchemy import create_engine, insert, select
from sqlalchemy.orm import Session

from strandline import ledger, settings
from strandline.ingest import load as predictions
from strandline.pages import runs, shards

RUN_ID = "manual__2026-11-21T08:00:00+00:00"
FILES = [
    *(File(f"{number}.jpg", source="shop1") for number in range(3)),
    File("copy.jpg", content="0.jpg", shard="shard 2"),
    *(refused(f"broken{number}.jpg") for number in range(5)),
    vanished("gone.jpg"),
    rejected("readme.txt"),
]


def ingest(run_id=RUN_ID, files=FILES, kind="manual", close=True, failing=()):
    run = Run(run_id, seeding.register(), files, kind)
    predictions.load(run_id, run.ready(failing))
    if close:
        ledger.close_run(run_id)
    return run


def list_empty_runs(database, numbers, step=datetime.timedelta(minutes=5)):
    """Runs that listed nothing, in the order in which they began; every third is still open."""
    version = seeding.register()
    with psycopg.connect(database.superuser) as connection:
        for number in numbers:
            start = seeding.HOUR + number * step
            connection.execute(
                "INSERT INTO runs VALUES (%s, %s, %s, %s, %s, 0, 0, 0, 0, 0, %s)",
                (f"run {number}", "backfill" if number % 2 else "scheduled", start, start + step, version, start),
            )
            if number % 3:
                connection.execute(
                    "INSERT INTO closings VALUES (%s, %s, 0, 0, 0, 0, 0, 0, 0, 0)", (f"run {number}", start + step)
                )


def names(found):
    return [run["run_id"] for run in found["runs"]]


def test_runs_are_listed_page_by_page_the_newest_first(database, monkeypatch):
    monkeypatch.setattr(runs, "PAGE", 4)
    list_empty_runs(database, range(10))
    found, seen = runs.list_runs(), []
    while found["next"]:
        seen += names(found)
        found = runs.list_runs(before=found["next"])
    assert seen + names(found) == [f"run {number}" for number in reversed(range(10))]


def test_runs_that_began_in_the_same_moment_are_not_lost_between_pages(database, monkeypatch):
    monkeypatch.setattr(runs, "PAGE", 2)
    list_empty_runs(database, range(5), datetime.timedelta(minutes=1))
    with psycopg.connect(database.superuser) as connection:
        connection.execute("UPDATE runs SET started_at = %s WHERE run_id <> 'run 0'", (seeding.HOUR.replace(minute=9),))
    first = runs.list_runs()
    assert len(first["runs"]) == 4
    assert names(runs.list_runs(before=first["next"])) == ["run 0"]


def test_runs_are_filtered_by_kind_and_by_books(database):
    list_empty_runs(database, range(6))
    assert names(runs.list_runs(kind="backfill")) == ["run 5", "run 3", "run 1"]
    assert names(runs.list_runs(books="open")) == ["run 3", "run 0"]
    assert names(runs.list_runs(kind="scheduled", books="closed")) == ["run 4", "run 2"]


def test_a_run_shows_its_balance_by_reason_source_and_shard(database):
    ingest()
    found = runs.show_run(RUN_ID)
    assert (found["run"]["listed"], found["run"]["ingested"], found["run"]["quarantined"]) == (11, 3, 5)
    assert [(one["reason"], one["files"], len(one["examples"])) for one in found["reasons"]] == [
        ("TRUNCATED", 5, runs.EXAMPLES),
        ("NOT_IMAGE", 1, 1),
        ("VANISHED", 1, 1),
    ]
    assert {one["source"]: one["listed"] for one in found["sources"]} == {"": 8, "shop1": 3}
    assert found["phases"]["shards"] == len(found["shards"]) == 2
    assert found["shards"][0]["seconds"] == pytest.approx(sum(seeding.SECONDS.values()))
    assert {image["image_id"] for image in found["images"]} == {seeding.digest(f"{number}.jpg") for number in range(3)}
    assert found["validation"] == settings.get().run_folder(RUN_ID).name


def test_a_run_of_too_many_files_is_not_counted_by_source(database, monkeypatch):
    ingest()
    monkeypatch.setattr(runs, "COUNTED", 10)
    found = runs.show_run(RUN_ID)
    assert found["sources"] is None
    assert "reporting.run_sources" in render("run.html", found)


def test_the_page_of_a_run_links_to_what_it_is_made_of(database):
    ingest()
    found = runs.show_run(RUN_ID)
    html = render("run.html", found)
    quoted = "manual__2026-11-21T08%3A00%3A00%2B00%3A00"
    assert f'href="/dags/ingest_images/runs/{quoted}"' in html
    assert f'href="/strandline/files/{found["reasons"][0]["examples"][0]["entry_id"]}"' in html
    assert f'src="/strandline/images/{found["images"][0]["image_id"]}.png"' in html
    assert "was not validated yet" in html
    result = {"expectation": "decodable", "severity": "stop", "success": False, "evaluated": 9, "unexpected": 5}
    html = render("run.html", found | {"expectations": [result | {"detail": "can be decoded"}]})
    address = f"/strandline/reports/validation/{found['validation']}/"
    assert f'<a href="{address}">' in html
    assert f'<iframe src="{address}" sandbox="allow-scripts"' in html
    assert f'href="/strandline/runs/{quoted}"' in render("runs.html", runs.list_runs())


def test_the_last_validation_of_a_run_is_shown_and_failures_first(database):
    ingest()
    with psycopg.connect(database.superuser) as connection:
        for validation, expectation, severity, success in (
            ("old", "listed", "stop", False),
            ("new", "a", "warn", True),
            ("new", "b", "warn", False),
            ("new", "c", "quarantine", False),
        ):
            connection.execute(
                "INSERT INTO validation_results VALUES (%s, %s, %s, %s, %s, 1, 0, 'says', %s)",
                (
                    RUN_ID,
                    validation,
                    expectation,
                    severity,
                    success,
                    seeding.HOUR.replace(year=2025 + (validation == "new")),
                ),
            )
    assert [one["expectation"] for one in runs.show_run(RUN_ID)["expectations"]] == ["c", "b", "a"]


def test_an_open_run_says_so(database):
    run = Run(RUN_ID, seeding.register(), FILES)
    run.record()
    html = render("run.html", runs.show_run(RUN_ID))
    assert "books of this run are open" in html
    assert "open" in render("runs.html", runs.list_runs())


def test_a_run_that_is_not_there_is_named(database):
    with pytest.raises(HTTPException, match="no run nothing") as raised:
        runs.show_run("nothing")
    assert raised.value.status_code == 404


def test_without_runs_the_page_says_what_to_do(database):
    assert "Put images into the landing zone" in render("runs.html", runs.list_runs())
    assert "Show all runs" in render("runs.html", runs.list_runs(kind="manual", books="open"))


def test_nothing_of_a_run_becomes_markup(database):
    run_id = f"manual__{HOSTILE}"
    ingest(run_id, [File(f"{HOSTILE}.jpg"), refused(f"{HOSTILE}2.jpg")])
    with psycopg.connect(database.superuser) as connection:
        connection.execute(
            "UPDATE outcomes SET detail = %s, reason = %s WHERE state = 'quarantined'", (HOSTILE, HOSTILE)
        )
        connection.execute("UPDATE predictions SET label = %s", (HOSTILE,))
        connection.execute("UPDATE batches SET device = %s", (HOSTILE,))
        connection.execute("UPDATE model_versions SET name = %s", (HOSTILE,))
        connection.execute(
            "INSERT INTO validation_results VALUES (%s, 'one', %s, 'warn', false, 1, 1, %s)", (run_id, HOSTILE, HOSTILE)
        )
    html = render("run.html", runs.show_run(run_id))
    assert html.count("&lt;img src=x") >= 8
    assert is_harmless(html)
    assert is_harmless(render("runs.html", runs.list_runs()))


@pytest.fixture
def airflow_session():
    """Of Airflow's own tables, in memory."""
    import_all_models()  # as these tables refer to others
    engine = create_engine("sqlite://")
    TaskInstance.metadata.create_all(engine, [TaskInstance.__table__, TaskInstanceHistory.__table__])
    with Session(engine) as session:
        yield session


def airflow_ran(session, task, shard, start, seconds, table=TaskInstance, **changes):
    """A mapped task of the run that took so many seconds, or goes on."""
    row = {"id": uuid.uuid4(), "dag_id": "ingest_images", "task_id": task, "run_id": RUN_ID, "map_index": 0}
    row |= {
        "rendered_map_index": seeding.digest(shard)[:18],
        "try_number": 1,
        "state": "success",
        "hostname": "worker-1",
    }
    row |= {"start_date": start, "end_date": None if seconds is None else start + datetime.timedelta(seconds=seconds)}
    row |= {
        "max_tries": 2,
        "pool": "classifier",
        "pool_slots": 1,
        "executor_config": {},
        "dag_version_id": uuid.uuid4(),
    }
    names = {column.name for column in table.__table__.columns}
    row |= {"map_index": len(session.execute(select(table.map_index)).all()), "task_instance_id": row["id"]} | changes
    session.execute(insert(table.__table__).values({name: value for name, value in row.items() if name in names}))


def test_the_tries_of_a_run_stand_on_one_axis(database, airflow_session):
    ingest()
    begin = runs.show_run(RUN_ID)["run"]["started_at"]
    with psycopg.connect(database.superuser) as connection:
        connection.execute("UPDATE closings SET closed_at = %s", (begin + datetime.timedelta(minutes=2),))
    second = datetime.timedelta(seconds=1)
    airflow_ran(airflow_session, "pack", "shard 1", begin + second, 4, TaskInstanceHistory, state="failed")
    airflow_ran(airflow_session, "pack", "shard 1", begin + 6 * second, 5, try_number=2)
    airflow_ran(airflow_session, "pack", "shard 2", begin + 2 * second, 1)
    airflow_ran(airflow_session, "classify", "shard 1", begin + 20 * second, 10)
    airflow_ran(airflow_session, "validate", "shard 1", begin + 12 * second, 1)
    airflow_ran(
        airflow_session, "classify", "shard 1", begin + 300 * second, 1
    )  # of a repetition, after the books closed
    found = runs.show_run(RUN_ID, shards.tries(RUN_ID, airflow_session))["over_time"]
    assert (found["begin"], found["end"], found["shards"]) == (begin + second, begin + 30 * second, 2)
    first, other = found["lanes"]
    assert [(one["task"], one["state"], one["number"], one["seconds"]) for one in first] == [
        ("pack", "failed", 1, 4),
        ("pack", "success", 2, 5),
        ("classify", "success", 1, 10),
    ]
    assert (first[1]["rows"], first[1]["images_per_second"]) == (9, 9 / 5)
    assert (first[2]["rows"], first[2]["images_per_second"]) == (3, 0.3)
    label = seeding.digest("shard 1")[:18]
    assert first[0]["says"].startswith(f"pack {label}, failed in try 1, 4.0 s, 9 rows, on worker-1, from 20")
    assert first[2]["says"].startswith(f"classify {label}, 10.0 s, 3 rows, 0 images/s, on worker-1")
    assert [one["task"] for one in other] == ["pack"]
    html = render("run.html", runs.show_run(RUN_ID, shards.tries(RUN_ID, airflow_session)))
    assert html.count(f'aria-label="classify {label}, 10.0 s') == 1
    assert '<rect class="pack bad" tabindex="0"' in html
    assert "Tries at packing and classifying shards" in html


def test_of_many_shards_the_slowest_are_on_the_axis(database, airflow_session, monkeypatch):
    ingest()
    monkeypatch.setattr(runs, "SHARDS", 2)
    begin = runs.show_run(RUN_ID)["run"]["started_at"]
    with psycopg.connect(database.superuser) as connection:
        connection.execute("UPDATE closings SET closed_at = %s", (begin + datetime.timedelta(minutes=2),))
    for number, seconds in enumerate((3, 1, 2)):
        airflow_ran(airflow_session, "pack", f"shard {number}", begin, seconds)
    found = runs.show_run(RUN_ID, shards.tries(RUN_ID, airflow_session))
    assert [lane[0]["seconds"] for lane in found["over_time"]["lanes"]] == [3, 2]
    assert "the slowest 2 of 3 shards" in render("run.html", found)


def test_a_try_that_goes_on_has_no_end_yet(database, airflow_session):
    ingest(close=False)
    begin = runs.show_run(RUN_ID)["run"]["started_at"]
    airflow_ran(airflow_session, "pack", "shard 1", begin, None, state="running", hostname=HOSTILE)
    found = runs.show_run(RUN_ID, shards.tries(RUN_ID, airflow_session))
    ((one,),) = found["over_time"]["lanes"]
    assert one["goes_on"]
    assert one["images_per_second"] is None
    assert " s so far" in one["says"]
    assert is_harmless(render("run.html", found))


def test_once_airflow_has_forgotten_a_run_its_page_has_no_axis(database, airflow_session):
    ingest()
    found = runs.show_run(RUN_ID, shards.tries(RUN_ID, airflow_session))
    assert found["over_time"] is None
    assert "Shards over time" not in render("run.html", found)
