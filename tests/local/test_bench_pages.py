"""The ledger that `make bench-pages` fills, a small one, and the table that it writes."""

import psycopg
import pytest

from local.bench import filled_ledger, pages, stored_results
from strandline import ledger, settings
from strandline.pages import explore, files, images, maps, quarantine, runs

ENTRIES = 5_000


@pytest.fixture
def filled(database):
    filled_ledger.fill(database.owner, ENTRIES)
    return database


def test_a_filled_ledger_is_as_real_runs_leave_it(filled, monkeypatch):
    with psycopg.connect(filled.owner) as connection:
        (entries, refused), (predictions,) = (
            connection.execute(query).fetchone()
            for query in (
                "SELECT count(*), count(*) FILTER (WHERE state NOT IN ('ingested', 'duplicate')) FROM outcomes",
                "SELECT count(*) FROM predictions",
            )
        )
    assert entries == ENTRIES
    assert predictions == pytest.approx(ENTRIES / 2, rel=0.1)
    assert refused == pytest.approx(ENTRIES / 10, rel=0.1)
    ledger.verify()


def test_its_keys_and_indexes_are_those_of_the_migrations(database):
    query = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexdef"
    keys = "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint ORDER BY 1, 2"
    with psycopg.connect(database.owner) as connection:
        before = [connection.execute(one).fetchall() for one in (query, keys)]
    filled_ledger.fill(database.owner, ENTRIES)
    with psycopg.connect(database.owner) as connection:
        assert [connection.execute(one).fetchall() for one in (query, keys)] == before


def test_pages_find_all_that_they_show_of_it(filled):
    settings.get().store.mkdir(parents=True)
    stored_results.write(settings.get(), filled.owner)
    newest = runs.list_runs()["runs"][0]
    assert newest["closed_at"]
    assert runs.show_run(newest["run_id"])["reasons"]
    assert quarantine.quarantine(folder="scans")["files"]
    assert files.find_files(q="IMG_0000")["files"]
    shown = explore.explore(explore.chosen())["images"]
    found = images.show_image(shown[0]["image_id"])
    assert found["alike"]
    assert len(found["alike"]) == images.ALIKE
    assert sum(group["images"] for group in maps.show_map(maps.region())["groups"]) > 100


def test_the_table_has_a_row_a_kind_of_page():
    kind = pages.Kind("runs", 1, lambda _: "/runs")
    opened = [pages.Opened("runs", ms, 200 if ms < 40 else 503, 2000) for ms in (10.0, 20.0, 30.0, 40.0)]
    row = {"alone": pages.summary(opened[:3], kind), "together": pages.summary(opened, kind)}
    report = {"people": 20, "cores": 2, "busy": 0.5, "entries": 10_000_000, "pages": {"runs": row}, "health": row}
    lines = pages.table(report).splitlines()
    assert lines[-2] == "| runs | 20 / 30 / 30 | 30 / 40 / 40, 1 failed | 4 | 2 |"
    assert lines[-1].startswith("| Airflow's health | ")
    assert "10,000,000 entries" in lines[0]
