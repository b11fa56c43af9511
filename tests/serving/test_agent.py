"""The agent: what it tells serving processes, and that nothing is lost when it, or Postgres, ends in the middle."""

import contextlib
import datetime
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import ledger_rows as seeding
import psycopg
import pytest
from conftest import APPROVERS, PASSWORD, Database, free_port
from gate_evaluations import make_version
from gates import answer, hold
from served import Server, recorded, rows

import strandline_contract as contract
from local.stack import postgres
from strandline import ledger, settings
from strandline.models import registry
from strandline.promotion.promotion import promote, record_approval, roll_back
from strandline.serving import consumers, deployment, rollouts, spools
from strandline.serving.agent import Agent


def told() -> contract.Deployment:
    """What serving processes read."""
    return contract.Deployment.from_json((settings.get().serving_folder / contract.DEPLOYMENT_FILE).read_bytes())


@contextlib.contextmanager
def running() -> Iterator[subprocess.Popen]:
    """The agent as a process of its own."""
    process = subprocess.Popen([sys.executable, "-m", "strandline.serving"], stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def wait_until(seen: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


# What it tells


def test_the_champion_answers_and_a_promotion_and_a_roll_back_arrive_by_themselves(database):
    first, second = make_version("first"), make_version("second")
    registry.install_first(first, "tester")
    agent = Agent()
    agent.round()
    assert told().champion == contract.BundleRef(f"models/{first}", first)
    hold("gate", second, first)
    record_approval("gate", answer())
    promote("gate")
    agent.round()
    assert told().champion.version == second
    roll_back("back", "op", "worse")
    agent.round()
    assert told().champion.version == first


def test_a_consumer_is_there_until_it_is_revoked_and_its_token_is_nowhere(database):
    registry.install_first(make_version("first"), "tester")
    agent = Agent()
    token = consumers.create("shop", 50, "ann")
    agent.round()
    (shop,) = told().consumers
    assert (shop.name, shop.requests_per_second, shop.version) == ("shop", 50, None)
    assert shop.token_sha256 == seeding.digest(token)
    assert token not in str(rows("SELECT * FROM consumer_steps")) + str(rows("SELECT * FROM audit_log"))
    consumers.revoke("shop", "bob")
    agent.round()
    assert told().consumers == ()


def test_a_version_without_a_whole_bundle_is_left_out_until_it_is_whole_again(database, caplog):
    first, second = make_version("first"), make_version("second")
    registry.install_first(first, "tester")
    consumers.create("shop", 50, "ann", version=second[:12])
    agent = Agent()
    agent.round()
    assert told().pinned == (contract.BundleRef(f"models/{second}", second),)
    assert told().consumers[0].version == second
    bundle = settings.get().store / "models" / second
    bundle.rename(bundle.with_name("elsewhere"))
    for _ in range(3):
        agent.round()
    assert told().pinned == ()
    assert told().consumers[0].version == second  # who is pinned to it gets no other version's answer
    assert caplog.text.count("answers nobody") == 1
    bundle.with_name("elsewhere").rename(bundle)
    agent.round()
    assert told().pinned[0].version == second


def unserved() -> list[tuple]:
    """Model, who waits for it, and its rollout, of each version that cannot answer."""
    return rows("SELECT model, consumers, rollout_id FROM reporting.unserved_versions ORDER BY model")


def test_the_ledger_hears_what_cannot_be_offered_and_whom_that_concerns(database):
    first, second, third = (make_version(name) for name in ("first", "second", "third"))
    registry.install_first(first, "tester")
    for name in ("shop", "lab"):
        consumers.create(name, 50, "ann", version=second)
    plan = rollouts.planned({"steps": [0.5], "pictures": 50, "wait_hours": 1})
    rollouts.start("run", "user", third, plan)
    agent = Agent()
    agent.round()
    assert unserved() == []
    bundle = settings.get().store / "models" / second
    bundle.rename(bundle.with_name("elsewhere"))
    shutil.rmtree(bundle.with_name(third))
    agent.round()
    since = rows("SELECT min(since) FROM reporting.unserved_versions")
    assert unserved() == [("second", ["lab", "shop"], None), ("third", None, "run")]
    Agent().round()  # another one finds the same
    assert rows("SELECT min(since) FROM reporting.unserved_versions") == since
    consumers.revoke("shop", "ann")
    rollouts.end("ann", "its bundle is gone")
    assert unserved() == [("second", ["lab"], None)]
    bundle.with_name("elsewhere").rename(bundle)
    agent.round()
    assert unserved() == []


def test_it_is_written_when_it_changes_or_is_old(database, monkeypatch):
    registry.install_first(make_version("first"), "tester")
    agent = Agent()
    agent.round()
    before = told()
    agent.round()
    assert told() == before
    monkeypatch.setattr(deployment, "READ_SECONDS", 0.0)
    agent.round()
    assert told().read_at > before.read_at


def test_callers_without_a_token_are_let_in_on_loopback_alone():
    def rate(**environment: str) -> float | None:
        given = {f"STRANDLINE_SERVE_{name}": value for name, value in environment.items()}
        return settings.load(given).serving.anonymous_requests_per_second

    assert rate() == 1_000
    assert rate(HOST="0.0.0.0") is None
    assert rate(HOST="0.0.0.0", ANONYMOUS_RATE="5") == 5
    assert rate(ANONYMOUS_RATE="0") is None


# What it does not lose


def test_it_is_known_since_when_a_spool_has_more_than_the_ledger(database, monkeypatch):
    monkeypatch.setattr("strandline.serving.agent.COMPLETE_SECONDS", 0.0)
    monkeypatch.setattr(spools, "BATCH_BYTES", 1_000)
    monkeypatch.setattr(spools, "MAX_LINE_BYTES", 2_000)
    server, agent = Server("one", seeding.register()), Agent()

    def complete_at() -> datetime.datetime | None:
        agent.round()
        return rows("SELECT complete_at FROM reporting.serving_spools")[0][0]

    server.answer(5)
    first = complete_at()
    assert complete_at() > first
    last = complete_at()
    server.write(b"x" * 4_000)  # which cannot be loaded
    assert complete_at() == last
    os.truncate(server.path, server.path.stat().st_size - 4_000)
    assert complete_at() > last
    server.die()
    assert complete_at() is None
    assert not server.folder.exists()


def test_an_agent_that_is_killed_in_the_middle_loads_nothing_twice(database):
    server = Server("one", seeding.register())
    with running() as process:
        wait_until((settings.get().serving_folder / contract.DEPLOYMENT_FILE).exists)
        server.answer(500)
        wait_until(lambda: len(recorded()) == 500)
        with psycopg.connect(database.superuser) as blocker:
            blocker.execute("LOCK TABLE served_predictions IN SHARE MODE")
            server.answer(500)
            waiting = "SELECT FROM pg_locks WHERE relation = 'served_predictions'::regclass AND NOT granted"
            wait_until(lambda: blocker.execute(waiting).fetchall())
            process.send_signal(signal.SIGKILL)
            process.wait()
    server.answer(10)
    Agent().round()
    server.die()
    assert recorded() == [("one", number) for number in range(1, 1_011)]


def test_a_ledger_that_is_away_is_waited_for_and_spoken_of_once(database, away, caplog):
    caplog.set_level("INFO")
    server = Server("one", seeding.register())
    agent = Agent()
    server.answer(5)
    with away():
        waits = [agent.attempt(1.0) for _ in range(3)]
    assert waits == [2.0, 2.0, 2.0]
    assert caplog.text.count("nothing is loaded for now, and nothing lost") == 1
    assert agent.attempt(1.0) == 1.0
    assert "all is back" in caplog.text
    assert len(recorded()) == 5
    server.die()


def test_a_disk_that_takes_nothing_holds_up_no_line(database, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("STRANDLINE_LANDING", str(tmp_path / "landing"))
    settings.get.cache_clear()
    server = Server("one", seeding.register())
    blocked = settings.get().serving_folder / contract.DEPLOYMENT_FILE
    blocked.mkdir()
    settings.get().landing.write_text("no folder")
    server.keep(b"one", "1" * 64)
    server.die()
    agent = Agent()
    for _ in range(2):
        assert agent.attempt(1.0) == 1.0
    assert len(recorded()) == 1
    assert caplog.text.count(str(settings.get().landing)) == 1
    assert server.folder.exists()
    blocked.rmdir()
    settings.get().landing.unlink()
    agent.round()
    assert told().champion.version == server.version
    assert len(list(settings.get().landing.rglob("*.jpeg"))) == 1
    assert not server.folder.exists()


def test_an_agent_that_is_asked_to_end_loads_what_was_answered_last(database):
    server = Server("one", seeding.register())
    with running() as process:
        wait_until((settings.get().serving_folder / contract.DEPLOYMENT_FILE).exists)
        server.answer(5)
        process.terminate()
        assert process.wait(60) == 0
    assert len(recorded()) == 5
    server.die()


@pytest.fixture
def own_postgres(tmp_path, monkeypatch) -> Iterator[tuple[Path, int]]:
    """A server of its own, which may be stopped."""
    folder = Path(tempfile.mkdtemp(prefix="strandline-postgres-"))
    port = free_port()
    try:
        postgres.start(folder, port, PASSWORD)
        database = Database(port, "strandline")
        ledger.provision(Database(port, "postgres").superuser, dict.fromkeys(ledger.ROLES, PASSWORD))
        ledger.migrate(database.owner, approvers=APPROVERS)
        monkeypatch.setenv("STRANDLINE_DATABASE_URL", database.address)
        monkeypatch.setenv("STRANDLINE_HOME", str(tmp_path))
        settings.get.cache_clear()
        yield folder, port
    finally:
        settings.get.cache_clear()
        postgres.stop(folder)
        shutil.rmtree(folder)


def test_nothing_is_lost_when_postgres_is_killed_and_comes_back(own_postgres):
    folder, port = own_postgres
    server = Server("one", seeding.register())
    with running() as process:
        server.answer(200)
        wait_until(lambda: len(recorded()) == 200)
        pid = postgres.process_id(folder)
        assert pid
        os.kill(pid, signal.SIGKILL)
        server.answer(200)
        wait_until(lambda: postgres.process_id(folder) is None)
        postgres.start(folder, port, PASSWORD)
        server.answer(200)
        wait_until(lambda: len(recorded()) == 600)
        assert process.poll() is None
    assert recorded() == [("one", number) for number in range(1, 601)]
    server.die()
