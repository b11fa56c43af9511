"""Who may ask: made and revoked by people, one after the other, and every step audited."""

import ledger_rows as seeding
import psycopg
import pytest
from gate_evaluations import make_version
from served import Server, rows

from strandline import ledger
from strandline.models.versions import VersionError
from strandline.serving import consumers, spools
from strandline.serving.consumers import ConsumerError


def test_a_consumer_has_one_token_until_it_is_revoked(database):
    first = consumers.create("shop", 50, "ann")
    with pytest.raises(ConsumerError, match="there is a consumer shop already: revoke it first"):
        consumers.create("shop", 50, "ann")
    consumers.revoke("shop", "bob")
    with pytest.raises(ConsumerError, match="no consumer shop that could be revoked"):
        consumers.revoke("shop", "bob")
    assert consumers.create("shop", 50, "ann") != first
    assert rows("SELECT who, what, of_table FROM audit_log ORDER BY audit_id") == [
        ("ann", "created", "consumer_steps"),
        ("bob", "revoked", "consumer_steps"),
        ("ann", "created", "consumer_steps"),
    ]
    with ledger.connect("serving") as connection:
        assert not any(ledger.check_invariants(connection).values())


@pytest.mark.parametrize("name", ["", "anonymous", "Shop", "a shop", "-shop", "shop.", "s" * 64, "café", "shop\n"])
def test_a_name_is_plain(database, name):
    with pytest.raises(ConsumerError, match="cannot be the name of a consumer"):
        consumers.create(name, 50, "ann")
    row = {"name": name, "token_sha256": "0" * 64, "rate": 50, "version": None, "by": "ann"}
    with ledger.connect("people") as connection, pytest.raises(psycopg.errors.CheckViolation):
        ledger.fetch(connection, "call_create_consumer", row)


@pytest.mark.parametrize("name", ["a", "shop-1.eu_west", "s" * 63])
def test_names_of_applications_are_plain(database, name):
    assert len(consumers.create(name, 0.5, "ann")) >= 43


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_a_rate_is_some_requests_a_second(database, rate):
    with pytest.raises(ConsumerError, match="some times a second"):
        consumers.create("shop", rate, "ann")


def test_who_is_pinned_is_pinned_to_a_version_that_can_answer(database):
    whole, without_bundle = make_version("whole"), seeding.register("no bundle")
    consumers.create("shop", 50, "ann", version=whole[:10])
    assert rows("SELECT version FROM consumer_steps") == [(whole,)]
    with pytest.raises(ConsumerError, match="could answer nobody"):
        consumers.create("other", 50, "ann", version=without_bundle)
    with pytest.raises(VersionError, match="no model version that begins with"):
        consumers.create("other", 50, "ann", version="abc")


def test_which_version_answered_which_application_and_when(database):
    first, second = seeding.register("first"), seeding.register("second")
    consumers.create("shop", 50, "ann")
    server = Server("one", first)
    server.answer(2, consumer="shop")
    last = server.answer(consumer="shop", version=second, at="2026-11-21T09:00:00+00:00")
    server.answer(reason="TRUNCATED", status="quarantined", label=None)
    spools.load(server.folder)
    server.die()
    found = rows(
        "SELECT consumer, model, predictions, refused, last_at::text FROM reporting.served_versions ORDER BY 1, 2"
    )
    assert found == [
        ("anonymous", "first", 1, 1, "2026-11-21 08:20:00+00"),
        ("shop", "first", 2, 0, "2026-11-21 08:20:00+00"),
        ("shop", "second", 1, 0, "2026-11-21 09:00:00+00"),
    ]
    results = rows("SELECT model, label FROM reporting.served_results WHERE prediction_id = %s", last.prediction_id)
    assert results == [("second", "cat")]


def test_the_analyst_reads_who_may_ask(database):
    consumers.create("shop", 50, "ann")
    consumers.revoke("shop", "bob")
    consumers.create("shop", 5, "cem")
    with psycopg.connect(database.analyst) as connection:
        query = "SELECT name, requests_per_second, created_by, revoked_by FROM reporting.consumers ORDER BY created_at"
        found = connection.execute(query).fetchall()
        assert found == [("shop", 50, "ann", "bob"), ("shop", 5, "cem", None)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM consumer_steps")


def test_nobody_but_people_lets_an_application_in(database):
    for duty in ("serving", "labels", "promotion"):
        with ledger.connect(duty) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT create_consumer('shop', repeat('0', 64), 5, NULL, 'me')")
        with ledger.connect(duty) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO consumer_steps (name, what, who) VALUES ('shop', 'revoked', 'me')")
