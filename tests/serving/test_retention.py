"""Answers that are old are forgotten, and nothing that the ledger says of them becomes wrong."""

import datetime
from types import SimpleNamespace

import psycopg
import pytest
from gate_evaluations import make_version
from ledger_rows import digest
from served import Server, rows

from strandline import ledger, settings
from strandline.models import registry
from strandline.serving import retention, rollouts
from strandline.serving.agent import Agent

NOW = datetime.datetime.now(datetime.UTC)
OLD, NEW = (NOW - datetime.timedelta(days=days) for days in (9, 1))


@pytest.fixture
def answered(database, monkeypatch) -> SimpleNamespace:
    """Old answers and new ones, of which five old days have to be forgotten."""
    monkeypatch.setenv("STRANDLINE_SERVE_RETENTION_DAYS", "4")
    settings.get.cache_clear()
    found = SimpleNamespace(champion=make_version("first"), version=make_version("second"), database=database)
    registry.install_first(found.champion, "tester")
    found.server = Server("one", found.champion)
    found.server.answer(5, at=OLD.isoformat(), image_id=digest("cat.jpg"))
    found.server.answer(2, at=OLD.isoformat(), reason="TRUNCATED", status="quarantined", label=None)
    found.server.answer(3, at=NEW.isoformat())
    yield found
    found.server.die()


def load(answered) -> None:
    """As if each line had been loaded when it was written."""
    Agent().round()
    with psycopg.connect(answered.database.owner) as owner:
        owner.execute("UPDATE served_predictions SET recorded_at = at")


def broken() -> dict[str, list[dict]]:
    with ledger.connect("ingest") as connection:
        return {name: found for name, found in ledger.check_invariants(connection).items() if found}


def counts() -> list[tuple]:
    return rows("SELECT * FROM reporting.served_versions ORDER BY consumer, version")


def test_old_answers_go_and_every_count_stays(answered, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 3)
    load(answered)
    before = counts()
    assert [row[-3:] for row in before] == [(10, 2, 0)]
    assert broken() == {}
    assert retention.forget() == 7
    assert broken() == {}
    assert counts() == before
    assert rows("SELECT count(*), min(sequence) FROM served_predictions") == [(3, 8)]
    assert retention.forget() == 0
    answered.server.answer(at=OLD.isoformat())  # comes late
    load(answered)
    assert [row[-3:] for row in counts()] == [(11, 2, 0)]
    assert broken() == {}


def test_a_line_that_is_taken_out_is_still_missed(answered):
    load(answered)
    retention.forget()
    with psycopg.connect(answered.database.owner) as owner:
        owner.execute("DELETE FROM served_predictions WHERE sequence = 9")
    assert sorted(broken()) == ["26_served_lines_have_no_gap", "33_served_days_count_every_line"]


def test_nothing_is_forgotten_unless_that_is_asked_for(answered, monkeypatch):
    monkeypatch.setenv("STRANDLINE_SERVE_RETENTION_DAYS", "0")
    settings.get.cache_clear()
    load(answered)
    assert retention.forget() == 0
    assert rows("SELECT count(*) FROM served_predictions") == [(10,)]


def test_what_became_a_label_stays(answered):
    answered.server.feedback("one-2", "dog")
    load(answered)
    assert retention.forget() == 6
    assert broken() == {}
    assert rows("SELECT prediction_id FROM served_predictions WHERE at < now() - interval '4 days'") == [("one-2",)]
    assert rows("SELECT prediction_id, label FROM served_feedback") == [("one-2", "dog")]


def test_a_shadow_goes_with_its_answer_and_a_rollout_that_is_on_keeps_all(answered):
    plan = rollouts.planned({"steps": [0.5], "pictures": 50, "wait_hours": 1})
    rollouts.start("run", "user", answered.version, plan)
    given = answered.server.answer(at=OLD.isoformat(), rollout_id="run")
    shadow = {"role": "shadow", "version": answered.version, "shadow_of": given.prediction_id, "rollout_id": "run"}
    answered.server.answer(at=NEW.isoformat(), **shadow)
    load(answered)
    assert retention.forget() == 7
    assert rows("SELECT count(*) FROM served_predictions WHERE rollout_id = 'run'") == [(2,)]
    rollouts.end("ann", "seen")
    assert retention.forget() == 2
    assert broken() == {}


def test_the_last_day_is_never_forgotten_and_only_ingestion_forgets(answered):
    load(answered)
    with ledger.connect("ingest") as connection, pytest.raises(psycopg.errors.RaiseException, match="the last day"):
        connection.execute("SELECT forget_served(now(), 10)")
    for duty in ("serving", "people", "promotion"):
        with ledger.connect(duty) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT forget_served(now() - interval '4 days', 10)")
        with ledger.connect(duty) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("UPDATE served_days SET forgotten = 1")
