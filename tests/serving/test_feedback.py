"""What applications say of pictures becomes labels, in their name, as soon as the images are in the ledger."""

import datetime

import ledger_rows as seeding
import pytest
from ledger_rows import File, Run
from served import AT, Server, rows

from strandline import ledger, settings
from strandline.ingest import load as predictions
from strandline.labels import load as labels
from strandline.serving import consumers
from strandline.serving.agent import Agent

IMAGE = File("cat.jpg", source="serving")


@pytest.fixture
def server(database):
    running = Server("one", seeding.register())
    consumers.create("shop", 50, "ann")
    running.answer(consumer="shop", image_id=IMAGE.image_id)
    yield running
    running.die()


def ingest(server: Server) -> None:
    run = Run("a run", server.version, [IMAGE])
    predictions.load(run.run_id, run.ready())
    ledger.close_run(run.run_id)


def ends() -> list[tuple]:
    return rows("SELECT sequence, state, reason FROM served_feedback_ends ORDER BY sequence")


def said() -> list[tuple]:
    return rows("SELECT image_id, source::text, labeller, label, labelled_at FROM labels")


def broken() -> dict[str, list]:
    with ledger.connect("serving") as connection:
        return {name: found for name, found in ledger.check_invariants(connection).items() if found}


def test_feedback_waits_for_its_image_and_is_its_label_then(server):
    server.feedback("one-1", "Dog", "shop")
    Agent().round()
    assert (ends(), said()) == ([], [])
    ingest(server)
    Agent().round()
    assert said() == [(IMAGE.image_id, "feedback", "shop", "dog", AT)]
    assert ends() == [(2, "accepted", None)]
    assert rows("SELECT label, source::text FROM image_labels") == [("dog", "feedback")]
    assert broken() == {}


def test_the_same_again_is_no_new_word(server):
    ingest(server)
    agent = Agent()
    server.feedback("one-1", "dog", "shop")
    agent.round()
    server.feedback("one-1", "dog", "shop")
    Agent().round()
    assert len(said()) == 1
    assert ends() == [(2, "accepted", None), (3, "known", None)]
    assert broken() == {}


def test_a_person_goes_before_an_application(server):
    ingest(server)
    server.feedback("one-1", "dog", "shop")
    Agent().round()
    labels.record(IMAGE.image_id, "frog", "ann")
    assert rows("SELECT label, source::text, conflicting FROM standing_labels") == [("frog", "person", False)]


@pytest.mark.parametrize(
    ("feedback", "reason"),
    [
        (("one-1", "lizard", "shop"), "UNKNOWN_CLASS"),
        (("one-1", "dog", "anonymous"), "OTHER_CONSUMER"),
    ],
)
def test_what_is_no_label_is_recorded_with_its_reason(server, feedback, reason):
    server.feedback(*feedback)
    Agent().round()
    assert ends() == [(2, "rejected", reason)]
    assert said() == []


def test_what_is_of_no_use_is_said_so(server):
    ingest(server)
    server.feedback("one-1", "unusable", "shop")
    Agent().round()
    assert [label for *_, label, _ in said()] == [""]


@pytest.mark.parametrize(("prediction", "reason"), [("one-1", "UNKNOWN_IMAGE"), ("nobody's", "UNKNOWN_PREDICTION")])
def test_what_waits_too_long_is_rejected(server, monkeypatch, prediction, reason):
    server.feedback(prediction, "dog", "shop")
    Agent().round()
    assert ends() == []
    monkeypatch.setenv("STRANDLINE_LABEL_PATIENCE_HOURS", "0")
    settings.get.cache_clear()
    assert settings.get().label_patience == datetime.timedelta(0)
    Agent().round()
    assert ends() == [(2, "rejected", reason)]
