"""Whose word counts: each way round the gate that SQL, an XCom or an event could be is refused by the database."""

import datetime
from collections.abc import Callable

import psycopg
import pytest
from conftest import Database
from gate_evaluations import make_version
from gates import APPROVER, CHECKS, REQUESTER, answer, hold
from ledger_rows import digest
from psycopg import sql

from strandline import ledger, settings
from strandline.models import bundles, registry
from strandline.models.versions import champion as current_champion
from strandline.operators import approval
from strandline.promotion import evaluation, promotion
from strandline.promotion.promotion import PromotionError

GATE = "gate 1"
RESULT = "INSERT INTO gate_results (gate_id, check_name, outcome, sentence, allowed, unit)"


@pytest.fixture
def versions(database: Database) -> list[str]:
    """The champion, and a challenger; both whole in the store."""
    made = [make_version(name) for name in ("first", "second")]
    registry.install_first(made[0], "tester")
    return made


@pytest.fixture
def owner(database: Database):
    with psycopg.connect(database.owner, autocommit=True) as connection:
        yield connection


def gate_of(versions: list[str], **changes: object) -> str:
    return hold(GATE, versions[1], versions[0], **changes)


def approve(person: str = APPROVER) -> None:
    promotion.record_approval(GATE, answer(person))


def champion() -> str:
    with ledger.connect("promotion") as connection:
        return current_champion(connection)["version"]


# What the gate says


def test_a_gate_with_a_failed_check_more_than_it_says_is_refused(versions, database):
    gate_of(versions)
    with (
        pytest.raises(psycopg.errors.CheckViolation, match="has not just the checks"),
        psycopg.connect(database.duty("gate")) as connection,
    ):
        connection.execute(f"{RESULT} VALUES ('{GATE}', 'one more', 'fail', '', 'above', 'points')")


@pytest.mark.parametrize(
    "changes", [{"checks": len(CHECKS) - 1}, {"checks": len(CHECKS) + 1}, {"outcome": "fail", "checks": 2}]
)
def test_a_gate_whose_outcome_does_not_follow_from_its_checks_is_refused(versions, changes):
    with pytest.raises(psycopg.errors.CheckViolation, match="has not just the checks"):
        gate_of(versions, **changes)


def test_a_failed_check_that_was_slipped_in_by_the_owner_stops_the_promotion(versions, owner):
    gate_of(versions)
    approve()
    owner.execute("ALTER TABLE gate_results DISABLE TRIGGER gate_stays_whole")
    owner.execute(f"{RESULT} VALUES ('{GATE}', 'one more', 'fail', '', 'above', 'points')")
    with pytest.raises(PromotionError, match="was not passed"):
        promotion.promote(GATE)
    assert champion() == versions[0]


def test_who_holds_a_gate_cannot_say_when(versions, database):
    with (
        psycopg.connect(database.duty("gate")) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("INSERT INTO gates (gate_id, made_at) VALUES ('gate 1', now() + interval '9 days')")


def test_a_gate_that_says_it_was_held_in_the_future_cannot_be_approved(versions, owner):
    gate_of(versions)
    owner.execute("UPDATE gates SET made_at = now() + interval '9 days'")
    with pytest.raises(PromotionError, match="which is to come"):
        approve()


@pytest.mark.parametrize("approvers", [[], [None], [APPROVER, None]])
def test_nobody_is_no_approver(versions, approvers):
    with pytest.raises(psycopg.errors.CheckViolation, match="approvers_are_named"):
        gate_of(versions, approvers=approvers)


def test_an_approver_by_no_name_is_none(versions, database):
    gate_of(versions)
    with psycopg.connect(database.duty("promotion")) as connection, pytest.raises(psycopg.errors.RaiseException):
        connection.execute("SELECT record_approval(%s, 'approved', NULL, 'because', now())", [GATE])


# What was approved


def test_an_approval_binds_all_that_the_gate_said(versions, owner):
    gate_of(versions)
    approve()
    (evidence,) = owner.execute("SELECT evidence FROM approvals").fetchone()
    assert owner.execute("SELECT gate_evidence(%s)", [GATE]).fetchone() == (evidence,)
    for change in (
        "UPDATE gates SET html_sha256 = repeat('1', 64)",
        "UPDATE gates SET holdout_set = NULL, sentence = 'It is a pass, really.'",
        "UPDATE gate_results SET found = 0.99 WHERE check_name = 'recent'",
    ):
        with owner.transaction(force_rollback=True):
            owner.execute(change)
            with pytest.raises(psycopg.errors.RaiseException, match="is not any more what op approved"):
                owner.execute("SELECT promote(%s, %s)", [GATE, versions[0]])
    assert promotion.promote(GATE).version == versions[1]


def test_the_evidence_is_the_same_in_every_session(versions, owner):
    gate_of(versions)
    found = set()
    for zone, digits in (("UTC", 1), ("America/St_Johns", -15)):
        owner.execute(sql.SQL("SET timezone = {}").format(zone))
        owner.execute(sql.SQL("SET extra_float_digits = {}").format(digits))
        found.add(owner.execute("SELECT gate_evidence(%s)", [GATE]).fetchone())
    assert len(found) == 1


# Who may


def test_who_may_approve_no_more_does_not(versions, database):
    gate_of(versions)
    ledger.migrate(database.owner, approvers=["admin"])
    with pytest.raises(PromotionError, match="any more"):
        approve()
    promotion.record_approval(GATE, answer("admin"))


def test_an_answer_by_another_account_of_that_name_is_refused(versions, monkeypatch):
    """A user was deleted, and somebody made an account of the same name."""
    monkeypatch.setenv("STRANDLINE_APPROVERS", "op=3,admin=4")
    settings.get.cache_clear()
    gate_of(versions)
    with pytest.raises(PromotionError, match="with the id 9 is none of"):
        promotion.record_approval(GATE, answer() | {"responded_by_user": {"id": "9", "name": APPROVER}})
    promotion.record_approval(GATE, answer() | {"responded_by_user": {"id": "3", "name": APPROVER}})


@pytest.mark.parametrize("person", ["viewer", "nobody", "", None])
def test_only_approvers_roll_back(versions, database, person):
    gate_of(versions)
    approve()
    promotion.promote(GATE)
    with psycopg.connect(database.duty("promotion")) as connection, pytest.raises(psycopg.errors.RaiseException):
        connection.execute("SELECT roll_back('run 2', %s, %s, %s, 'because')", [versions[0], versions[1], person])
    if person:
        with pytest.raises(PromotionError, match="may not roll back: who may are admin, op, user"):
            promotion.roll_back("run 2", person, "worse")
    assert champion() == versions[1]
    promotion.roll_back("run 2", "op", "worse")


@pytest.mark.parametrize("duty", [duty for duty in ledger.DUTIES if duty != "promotion"])
def test_no_other_duty_approves_promotes_or_says_who_may(versions, database, duty):
    gate_of(versions)
    for statement in (
        "SELECT record_approval('gate 1', 'approved', 'op', 'because', now())",
        "SELECT promote('gate 1', 'x')",
        "SELECT roll_back('run', 'x', 'y', 'op', 'because')",
        "INSERT INTO approvers VALUES ('me')",
        "UPDATE approvers SET name = 'me'",
        "SET ROLE strandline_promotion",
    ):
        with (
            psycopg.connect(database.duty(duty)) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement)


def test_the_duty_that_promotes_can_make_neither_gate_nor_model(versions, database):
    for table in ("gates", "gate_results", "gate_plans", "model_versions", "model_lineage", "datasets", "approvers"):
        with (
            psycopg.connect(database.duty("promotion")) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(sql.SQL("INSERT INTO {} DEFAULT VALUES").format(sql.Identifier(table)))


def test_what_files_say_cannot_be_said_in_a_persons_name(database):
    word = "INSERT INTO labels (image_id, source, labeller, labelled_at, label) VALUES ('x', %s, 'ann', now(), 'cat')"
    for source in ("person", "decision", "file"):
        with (
            psycopg.connect(database.duty("labels")) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(word, [source])
    with psycopg.connect(database.duty("people")) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(word, ["person"])  # nor can a person say when


# Who asked, and who answered


def test_an_answer_is_recorded_where_airflow_hands_it_on(versions):
    """The task that asked records it when it goes on: no XCom lies between."""
    gate_of(versions)
    asking = approval.request_approval(
        "request_approval", evaluation.approval_request, list(promotion.DECISIONS), promotion.record_approval
    )
    with pytest.raises(PromotionError, match="has no answer"):
        promotion.approved(GATE)
    given = answer() | {"responded_at": datetime.datetime.now(datetime.UTC)}
    asking.execute_complete({"run_id": GATE}, given)
    assert promotion.approved(GATE)


def test_what_is_asked_is_what_the_ledger_says(versions):
    gate_of(versions)
    subject, body = evaluation.approval_request(GATE)
    assert versions[1][:12] in subject
    assert all(name in body for name in CHECKS)


def test_a_second_answer_after_the_question_was_cleared_is_refused(versions):
    gate_of(versions)
    asking = approval.request_approval(
        "request_approval", evaluation.approval_request, list(promotion.DECISIONS), promotion.record_approval
    )
    now = {"responded_at": datetime.datetime.now(datetime.UTC)}
    asking.execute_complete({"run_id": GATE}, answer() | now)
    with pytest.raises(Exception, match="was approved by op already"):
        asking.execute_complete({"run_id": GATE}, answer("admin", "Reject") | now)
    assert promotion.approved(GATE)


def test_a_run_is_about_what_it_was_planned_for(versions):
    """And not about what an XCom, or the same task run again, would make of it."""
    third = make_version("third")
    planned = evaluation.plan(GATE, REQUESTER, versions[1])
    assert evaluation.plan(GATE, "somebody", third) == planned == evaluation.pinned(GATE)
    assert (planned.requested_by, planned.challenger) == (REQUESTER, versions[1])
    with pytest.raises(evaluation.EvaluationError, match="has no plan"):
        evaluation.pinned("gate 2")


def trained(database: Database, version: str, parent: str, asked_by: str, run_id: str = "training") -> None:
    """A version, as retrain_model leaves it."""
    with psycopg.connect(database.owner) as connection:
        dataset = "INSERT INTO datasets VALUES (%s, 'training', 1, 'x', '[]', '{}', 'x', now()) ON CONFLICT DO NOTHING"
        connection.execute(dataset, [digest("set")])
        sets = dict.fromkeys(("training_set", "holdout", "recent_set"), digest("set"))
        row = {"run_id": run_id, "asked_by": asked_by, "reason": "dark", "report_id": None, "parent": parent, **sets}
        ledger.execute(connection, "insert_training", row)
        row |= {"version": version, "code_revision": "", "image_digest": None, "versions": "{}", "parameters": "{}"}
        ledger.execute(connection, "insert_model_lineage", row)


def test_who_asked_for_a_gate_that_an_event_woke_is_who_asked_for_the_training(versions, database):
    assert evaluation.waiting() is None
    trained(database, versions[1], versions[0], APPROVER)
    assert evaluation.waiting() == evaluation.Waiting(challenger=versions[1], asked_by=APPROVER)
    gate_of(versions)
    assert evaluation.waiting() is None  # it had its gate
    with pytest.raises(PromotionError, match="somebody else has to approve"):
        approve()


def test_a_lineage_in_anothers_name_does_not_help_who_asked(versions, database, owner):
    """The run's own row still says who it was."""
    trained(database, versions[1], versions[0], APPROVER)
    owner.execute("UPDATE model_lineage SET asked_by = 'report_drift'")
    assert evaluation.waiting() is None
    gate_of(versions)
    with pytest.raises(PromotionError, match="somebody else has to approve"):
        approve()


def test_a_bundle_that_says_otherwise_than_the_ledger_where_it_comes_from_is_refused(database):
    names = ("parent", "training_set", "holdout", "recent_set", "reason", "run_id", "code_revision")
    lineage = dict.fromkeys(names, "x") | {"asked_by": "report_drift", "report_id": None, "image_digest": None}
    make_version("told", lineage=lineage | {"versions": {}, "parameters": {}})
    folder = settings.get().home / "made" / "told"
    with pytest.raises(bundles.BundleError, match="otherwise than the ledger"):
        registry.register(folder, "op", {"asked_by": "op"})
    registry.register(folder, "op", {"asked_by": "report_drift", "parent": "x"})


# Locks and limits


@pytest.mark.parametrize("name", ["ledger", "labels"])
def test_what_the_tasks_lock_nobody_else_can(database, name):
    query = f"SELECT name FROM locks WHERE name = '{name}' FOR UPDATE"
    for url in (database.analyst, database.duty("people")):
        with psycopg.connect(url) as other, pytest.raises(psycopg.errors.InsufficientPrivilege):
            other.execute(query)
    with psycopg.connect(database.analyst) as analyst:
        for key in ("strandline.ledger", "strandline.labels", "strandline.migrate"):
            analyst.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [key])
        with ledger.connect("ingest" if name == "ledger" else "labels") as connection:
            connection.execute("SET lock_timeout = '5s'")
            assert ledger.fetch(connection, f"lock_{name}") == [{"name": name}]
        assert ledger.migrate(database.owner) == []


def test_an_analyst_has_so_many_connections_and_the_tasks_theirs(database):
    opened: list[psycopg.Connection] = []
    try:
        for _ in range(ledger.CONNECTION_LIMITS[ledger.ANALYST]):
            opened.append(psycopg.connect(database.analyst))
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            psycopg.connect(database.analyst)
        with ledger.connect("ingest") as connection:
            ledger.fetch(connection, "select_champion")
        (timeouts,) = (
            opened[0]
            .execute(
                "SELECT array_agg(setting ORDER BY name) FROM pg_settings"
                " WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout')"
            )
            .fetchone()
        )
        assert timeouts == ["60000", "3600000", "900000"]
    finally:
        for connection in opened:
            connection.close()


# The audit log


@pytest.fixture
def audited(versions) -> Callable[[], list]:
    """Three gates and their answers; gives what the chain's invariant finds."""
    for number in range(3):
        hold(f"gate {number}", versions[1], versions[0])
        promotion.record_approval(f"gate {number}", answer(option="Reject", reason=f"no {number}"))

    def broken() -> list:
        with ledger.connect("ingest") as connection:
            return ledger.check_invariants(connection)["23_the_audit_log_is_chained"]

    assert broken() == []
    return broken


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_log SET who = 'nobody' WHERE audit_id = {third}",
        'UPDATE audit_log SET details = details || \'{{"reason": "yes"}}\' WHERE audit_id = {third}',
        "UPDATE audit_log SET at = at + interval '1 microsecond' WHERE audit_id = {third}",
        "DELETE FROM audit_log WHERE audit_id = {third}",
        "DELETE FROM audit_log WHERE audit_id = (SELECT min(audit_id) FROM audit_log)",
        "UPDATE audit_log SET audit_id = audit_id + 1000 WHERE audit_id = {third}",
    ],
)
def test_a_changed_or_cut_row_of_the_audit_log_shows(audited, owner, change):
    third = owner.execute("SELECT audit_id FROM audit_log ORDER BY audit_id OFFSET 2 LIMIT 1").fetchone()[0]
    owner.execute("ALTER TABLE audit_log DISABLE TRIGGER audit_log_is_append_only")
    owner.execute("ALTER TABLE audit_log ALTER COLUMN audit_id DROP IDENTITY")
    owner.execute(change.format(third=third))
    assert audited()


def test_a_log_that_was_cut_at_its_end_shows_by_the_facts_and_by_a_noted_hash(audited, owner):
    noted = ledger.audit_head()
    assert ledger.verify(noted.hash) == noted
    owner.execute("ALTER TABLE audit_log DISABLE TRIGGER audit_log_is_append_only")
    owner.execute("DELETE FROM audit_log WHERE audit_id = (SELECT max(audit_id) FROM audit_log)")
    assert not audited()
    with ledger.connect("ingest") as connection:
        assert ledger.check_invariants(connection)["22_every_step_is_audited"]
    owner.execute("DELETE FROM approvals WHERE gate_id = 'gate 2'")  # the fact as well
    assert ledger.verify() != noted
    with pytest.raises(ledger.InvariantViolation, match="is not in the audit log"):
        ledger.verify(noted.hash)


@pytest.mark.parametrize(
    ("breaks", "invariant"),
    [
        ("UPDATE champions SET period = tstzrange(lower(period), now())", "15_champions_follow_each_other"),
        ("UPDATE champions SET cause = 'rolled back', run_id = 'x', reason = 'y'", "20_champions_are_approved"),
        ("UPDATE gates SET checks = 9", "21_gates_follow_from_their_checks"),
        ("UPDATE gates SET sentence = 'another'", "21_gates_follow_from_their_checks"),
        ("DELETE FROM audit_log", "22_every_step_is_audited"),
    ],
)
def test_invariants_of_the_champions_hold_without_any_run(versions, owner, breaks, invariant):
    gate_of(versions)
    approve()
    owner.execute("ALTER TABLE audit_log DISABLE TRIGGER audit_log_is_append_only")
    owner.execute(breaks)
    with ledger.connect("ingest") as connection:
        assert connection.execute("SELECT FROM runs").fetchall() == []
        found = ledger.check_invariants(connection)
        assert found[invariant]
        assert ledger.check_invariants(connection, "whichever run")[invariant] == found[invariant]
