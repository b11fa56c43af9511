"""What needs a person now, of answers over HTTP: each line says what, since when, and where to go."""

import shutil
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from gate_evaluations import make_version
from served import Server
from shown_pages import is_harmless, render

from strandline import ledger, settings
from strandline.models import registry
from strandline.pages.overview import overview
from strandline.serving import consumers, rollouts
from strandline.serving.agent import Agent

PLAN = {"steps": [0.25], "pictures": 50, "wait_hours": 1}
NO_RUNS: Any = SimpleNamespace(execute=lambda query: SimpleNamespace(mappings=lambda: []))  # none of Airflow's is red


@pytest.fixture
def champion(database) -> str:
    version = make_version("first")
    registry.install_first(version, "tester")
    return version


def page() -> str:
    shown = render("overview.html", overview(NO_RUNS, set()), "/")
    assert is_harmless(shown)
    return shown


def test_nothing_needs_a_person(champion):
    Agent().round()
    assert "Nothing: no run is red" in page()


def test_who_gets_503_is_said(champion):
    pinned = make_version("second")
    for name in ("shop", "lab"):
        consumers.create(name, 50, "ann", version=pinned)
    shutil.rmtree(settings.get().store / "models" / pinned)
    Agent().round()
    assert "lab, shop get 503" in page()
    assert "Nothing: no run is red" not in page()


def test_a_rollout_that_waits_for_its_approval_is_said(champion):
    rollouts.start("run", "user", make_version("second"), rollouts.planned(PLAN))
    row = {"rollout_id": "run", "number": 2, "share": 0.25, "by": "serve_canary", "why": "as good"}
    with ledger.connect("promotion") as connection:
        ledger.fetch(connection, "call_step_rollout", row)
    assert "answer all callers?" not in page()
    rollouts.ask("run")
    assert "answer all callers?" in page()
    assert "dags/serve_canary/runs/run/tasks/request_approval/required_actions" in page()
    rollouts.take_answer("run", rollouts.APPROVE, "op", "as good")
    assert "answer all callers?" not in page()


def test_a_spool_that_is_not_loaded_for_long_is_said(champion, database):
    server = Server("one", champion)
    server.answer(3)
    Agent().round()
    assert "answers of one are recorded" not in page()
    with psycopg.connect(database.owner) as owner:  # as time passes
        owner.execute("UPDATE serving_spools SET complete_at = complete_at - interval '11 minutes'")
    assert "answers of one are recorded" in page()
    server.die()
    Agent().round()  # its agent is back, and it has ended
    assert "answers of one are recorded" not in page()
