"""Who may ask is seen by whoever may read, and said by approvers alone; a token is shown once."""

import datetime
import shutil
from types import SimpleNamespace

import pytest
from fastapi import HTTPException
from gate_evaluations import make_version
from pydantic import ValidationError
from served import Server, rows
from shown_pages import is_harmless, render
from starlette.requests import Request

from strandline import ledger, settings
from strandline.models import registry
from strandline.pages.serving import Asking, approver, create, create_by_form, revoke, revoke_by_form, serving
from strandline.serving import consumers, rollouts, spools
from strandline.serving.agent import Agent

OP = "op"
FORM = Request({"type": "http", "method": "POST", "headers": [], "root_path": "/strandline", "path": "/serving"})


@pytest.fixture
def version(database) -> str:
    version = make_version("first")
    registry.install_first(version, "tester")
    return version


def asking(**changes: object) -> Asking:
    return Asking(**{"name": "shop", "requests_per_second": 50} | changes)


def test_an_application_is_let_in_and_revoked_in_a_persons_name(version):
    token = create(asking(version=version[:8]), OP)["token"]
    assert len(token) == 43
    assert revoke("shop", OP) == {"name": "shop"}
    steps = rows("SELECT name, what, who, version FROM consumer_steps ORDER BY step_id")
    assert steps == [("shop", "created", "op", version), ("shop", "revoked", "op", None)]
    (shop,) = serving()["consumers"]
    assert (shop["created_by"], shop["revoked_by"], shop["version"]) == ("op", "op", version)


def test_only_an_approver_says_who_may_ask():
    op, ann = (SimpleNamespace(get_name=lambda name=name: name) for name in ("op", "ann"))
    assert approver(op) == OP
    with pytest.raises(HTTPException, match="ann is none of STRANDLINE_APPROVERS") as refused:
        approver(ann)
    assert refused.value.status_code == 403


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "Shop"}, "cannot be the name"),
        ({"requests_per_second": -1}, "some times a second"),
        ({"version": "abc"}, "no model version that begins with abc"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(version, changes, says):
    with pytest.raises(HTTPException, match=says) as refused:
        create(asking(**changes), OP)
    assert refused.value.status_code == 422
    with pytest.raises(HTTPException, match="no consumer shop"):
        revoke("shop", OP)


def test_a_version_is_written_in_hex():
    with pytest.raises(ValidationError):
        asking(version="latest")


def test_a_ledger_that_is_away_is_said(version, away):
    with away(), pytest.raises(HTTPException) as refused:
        create(asking(), OP)
    assert refused.value.status_code == 503


def test_the_token_is_shown_once_and_kept_by_nobody(version):
    answer = create_by_form(FORM, OP, asking(version=""))
    assert answer.headers["cache-control"] == "no-store"
    assert "shop may ask" in answer.body.decode()
    assert revoke_by_form(FORM, OP, "shop").headers["location"] == "/strandline/serving"


def test_the_page_says_which_version_answered_whom(version):
    create(asking(), OP)
    server = Server("one", version)
    server.answer(3, consumer="shop")
    server.answer(consumer="<b>", version="<i>")  # a serving process may write anything
    spools.load(server.folder)
    server.die()
    page = render("serving.html", serving(edits=True), "/serving")
    assert is_harmless(page)
    assert "<b>" not in page
    assert "<i>" not in page
    assert "Revoke shop" in page
    found = {row["consumer"]: row["predictions"] for row in serving()["versions"]}
    assert found == {"shop": 3, "<b>": 1}
    assert "Let it ask" not in render("serving.html", serving(edits=False), "/serving")


def test_the_page_says_what_is_rolled_out_and_who_has_to_answer(version):
    other = make_version("second <b>")
    plan = rollouts.planned({"steps": [0.25], "pictures": 50, "wait_hours": 1})
    rollouts.start("first run", "user", other, plan)
    rollouts.step_back("first run", "worse, on <i> pictures")
    rollouts.start("second run", "user", other, plan)
    row = {"rollout_id": "second run", "number": 2, "share": 0.25, "by": "serve_canary", "why": "as good"}
    with ledger.connect("promotion") as connection:
        ledger.fetch(connection, "call_step_rollout", row)
    rollouts.ask("second run")
    server, at = Server("one", version), datetime.datetime.now(datetime.UTC).isoformat()
    server.answer(7, at=at, role="canary", version=other, rollout_id="second run")
    server.answer(9, at=at, rollout_id="second run")
    spools.load(server.folder)
    server.die()
    found = [(row["state"], row["share"], row["pictures"], row["who"]) for row in serving()["rollouts"]]
    assert found == [("asked for approval", 0.25, 7, "serve_canary"), ("stepped back", 0, None, "serve_canary")]
    page = render("serving.html", serving(edits=False), "/serving")
    assert is_harmless(page)
    assert "runs/second%20run/tasks/request_approval/required_actions" in page
    assert "25.0%" in page
    for told in ("<b>", "<i>"):
        assert told not in page


def test_a_version_that_cannot_answer_is_said(version):
    pinned = make_version("second")
    consumers.create("shop", 50, "ann", version=pinned)
    shutil.rmtree(settings.get().store / "models" / pinned)
    Agent().round()
    page = render("serving.html", serving(edits=False), "/serving")
    assert "shop gets 503" in page
    assert pinned[:12] in page


def test_before_anybody_asks_the_page_says_what_to_do(version):
    page = render("serving.html", serving(edits=True), "/serving")
    assert "make serve" in page
    assert "make consumer" in page
