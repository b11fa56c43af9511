"""Who becomes champion, and who does not: on a real Postgres, with real bundles in the store."""

import datetime
import shutil
import threading

import psycopg
import pytest
from conftest import Database
from gate_evaluations import make_version
from gates import APPROVER, REQUESTER, answer, hold
from ledger_rows import File, Run

from strandline import ledger, settings
from strandline.ingest import load as predictions
from strandline.models import registry
from strandline.models.versions import champion as current_champion
from strandline.promotion import promotion
from strandline.promotion.promotion import PromotionError, promote, record_approval, roll_back

WEIGHTS = {
    "one bit flipped": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "truncated": lambda content: content[:-1],
    "empty": lambda content: b"",
}
BREAKS = ("gone", "other", *WEIGHTS)


@pytest.fixture
def versions(database: Database) -> list[str]:
    """Three; the first is champion."""
    made = [make_version(name) for name in ("first", "second", "third")]
    registry.install_first(made[0], "tester")
    Run("a run", made[0], []).record()  # invariants look at what runs see
    return made


@pytest.fixture(autouse=True)
def _every_invariant_holds(database: Database):
    yield
    with ledger.connect("promotion") as connection:
        found = ledger.check_invariants(connection)
    closing = "01_closed_entries_are_terminal"  # the run of `versions` stays open
    assert {name: rows for name, rows in found.items() if rows and name != closing} == {}


def rows(statement: str) -> list[tuple]:
    with ledger.connect("promotion") as connection:
        return [tuple(row.values()) for row in connection.execute(statement)]


def champion() -> str:
    with ledger.connect("promotion") as connection:
        return current_champion(connection)["version"]


def approved(gate_id: str, challenger: str, champion: str) -> str:
    hold(gate_id, challenger, champion)
    record_approval(gate_id, answer())
    return gate_id


def both_at_once(*calls) -> list[object]:
    """What each call returned or raised, all started at the same moment."""
    barrier = threading.Barrier(len(calls))
    ended: list[object] = [None] * len(calls)

    def run(place: int) -> None:
        barrier.wait()
        try:
            ended[place] = calls[place]()
        except Exception as error:  # noqa: BLE001 - it is what the test looks at
            ended[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ended


# Promotion


def test_a_question_that_lapsed_is_said_until_it_is_asked_again(versions):
    lapsed = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)
    promotion.check_lapsed()
    hold("gate 0", versions[1], versions[0], outcome="fail", answer_by=lapsed)
    promotion.check_lapsed()
    hold("gate 1", versions[1], versions[0], answer_by=lapsed)
    with pytest.raises(promotion.PromotionError, match=f"{versions[1][:12]} .gate gate 1, asked for by user"):
        promotion.check_lapsed()
    hold("gate 4", versions[1], versions[0])
    promotion.check_lapsed()


def test_a_passed_and_approved_challenger_becomes_champion(versions):
    first, second, _ = versions
    done = promote(approved("gate 1", second, first))
    assert (done.version, done.replaces) == (second, first)
    assert champion() == second
    assert rows("SELECT version, cause, promoted_by, reason, gate_id FROM champions ORDER BY period") == [
        (first, "installed", "tester", "first champion", None),
        (second, "promoted", APPROVER, "looks good", "gate 1"),
    ]


def test_history_has_neither_gap_nor_overlap(versions):
    first, second, third = versions
    promote(approved("gate 1", second, first))
    promote(approved("gate 2", third, second))
    roll_back("run 3", APPROVER, "worse", first)
    periods = rows("SELECT lower(period), upper(period) FROM champions ORDER BY period")
    assert [end for _, end in periods] == [*(start for start, _ in periods[1:]), None]
    assert len(periods) == 4


def test_without_the_registry_nothing_is_promoted(versions, away):
    """F38"""
    first, second, _ = versions
    approved("gate 1", second, first)
    with away(), pytest.raises(ledger.Unreachable):
        promote("gate 1")
    assert champion() == first
    promote("gate 1")
    assert champion() == second


def test_promoting_again_changes_nothing(versions):
    first, second, _ = versions
    once = promote(approved("gate 1", second, first))
    assert promote("gate 1") == once
    assert rows("SELECT count(*) FROM champions") == [(2,)]


def test_an_old_gate_does_not_promote_again_after_a_roll_back(versions):
    first, second, _ = versions
    promote(approved("gate 1", second, first))
    roll_back("run 2", APPROVER, "worse")
    promote("gate 1")
    assert champion() == first


@pytest.mark.parametrize("outcome", ["fail", "not enough evidence"])
def test_without_a_passed_gate_nothing_can_be_approved(versions, outcome):
    hold("gate 1", versions[1], versions[0], outcome)
    with pytest.raises(PromotionError, match="was not passed"):
        record_approval("gate 1", answer())
    with pytest.raises(PromotionError, match="was not passed"):
        promote("gate 1")
    assert champion() == versions[0]


def test_without_an_approval_nothing_is_promoted(versions):
    hold("gate 1", versions[1], versions[0])
    with pytest.raises(PromotionError, match="is not approved"):
        promote("gate 1")
    assert record_approval("gate 1", answer(option="Reject", reason="too slow\nfor us")) is False
    with pytest.raises(PromotionError, match="is not approved"):
        promote("gate 1")
    assert rows("SELECT decision, approver, reason FROM approvals") == [("rejected", APPROVER, "too slow for us")]
    with pytest.raises(PromotionError, match="there is no gate"):
        promote("gate 2")
    assert champion() == versions[0]


def test_a_gate_holds_for_its_own_challenger_and_champion_only(versions):
    first, second, third = versions
    approved("gate 1", second, first)
    approved("gate 2", third, first)
    promote("gate 1")
    with pytest.raises(PromotionError, match="the champion changed since"):
        promote("gate 2")
    assert champion() == second
    with (
        ledger.connect("promotion") as connection,
        pytest.raises(psycopg.errors.RaiseException, match="was compared with"),
    ):
        ledger.fetch(connection, "promote", {"gate_id": "gate 2", "expected": second})


def test_a_gate_of_an_earlier_term_is_refused(versions):
    first, second, third = versions
    approved("gate 1", third, first)
    promote(approved("gate 2", second, first))
    roll_back("run 3", APPROVER, "worse")
    with pytest.raises(PromotionError, match="the champion changed since"):
        promote("gate 1")
    assert champion() == first


def test_a_check_that_was_left_out_is_noticed(versions):
    hold("gate 1", versions[1], versions[0])
    record_approval("gate 1", answer())
    with psycopg.connect(settings.get().database_url, user=ledger.OWNER) as owner:
        owner.execute("DELETE FROM gate_results WHERE check_name = 'recent'")
    with pytest.raises(PromotionError, match="was not passed"):
        promote("gate 1")
    with psycopg.connect(settings.get().database_url, user=ledger.OWNER) as owner:
        owner.execute(
            "INSERT INTO gate_results (gate_id, check_name, outcome, sentence, allowed, unit)"
            " VALUES ('gate 1', 'recent', 'pass', '', 'above', 'points')"
        )


def test_of_two_promotions_at_once_one_wins(versions):
    first, second, third = versions
    approved("gate 1", second, first)
    approved("gate 2", third, first)
    ended = both_at_once(lambda: promote("gate 1"), lambda: promote("gate 2"))
    assert sorted(type(run).__name__ for run in ended) == ["ChampionChange", "PromotionError"]
    assert rows("SELECT count(*) FROM champions") == [(2,)]


def test_one_promotion_by_many_at_once_is_made_once(versions):
    first, second, _ = versions
    approved("gate 1", second, first)
    ended = both_at_once(*[lambda: promote("gate 1")] * 6)
    assert all(run == ended[0] for run in ended)
    assert rows("SELECT count(*) FROM champions") == [(2,)]


def test_a_clock_that_went_back_is_refused(versions, database):
    with psycopg.connect(database.owner) as owner:
        owner.execute("UPDATE champions SET period = tstzrange(now() + interval '1 hour', NULL)")
    hold("gate 1", versions[1], versions[0])
    record_approval("gate 1", answer())
    with psycopg.connect(database.owner) as owner:
        held_at = owner.execute("SELECT made_at FROM gates").fetchone()
        owner.execute("UPDATE gates SET made_at = now() + interval '2 hours'")
    with pytest.raises(PromotionError, match="the clock of the database went back"):
        promote("gate 1")
    with psycopg.connect(database.owner) as owner:
        owner.execute("UPDATE gates SET made_at = %s", held_at)
        owner.execute("""UPDATE champions SET period = tstzrange(
            (SELECT lower((details ->> 'period')::tstzrange) FROM audit_log WHERE of_table = 'champions'), NULL)""")


@pytest.mark.parametrize("break_it", BREAKS)
def test_a_challenger_whose_bundle_is_not_whole_is_not_promoted(versions, break_it):
    first, second, third = versions
    approved("gate 1", second, first)
    break_bundle(second, third, break_it)
    with pytest.raises(PromotionError, match="cannot be used"):
        promote("gate 1")
    assert champion() == first


def break_bundle(version: str, other: str, how: str) -> None:
    """F39, as far as hashes tell; what a resealed bundle answers is for the gate."""
    models = settings.get().store / "models"
    weights = models / version / "weights.params"
    if how in ("gone", "other"):
        shutil.rmtree(models / version)
    if how == "other":
        shutil.copytree(models / other, models / version)
    if how in WEIGHTS:
        content = weights.read_bytes()
        weights.unlink()  # it is read-only
        weights.write_bytes(WEIGHTS[how](content))


@pytest.mark.parametrize("change", ["promotion", "roll back"])
def test_a_run_keeps_its_version_while_the_champion_changes(versions, change):
    """F35 and F36: what the run pinned classifies to its end, and its books close."""
    first, second, _ = versions
    if change == "roll back":
        promote(approved("gate 1", second, first))
    pinned = champion()
    run = Run("hourly", pinned, [File("cat.jpg"), File("dog.jpg")])
    run.record()
    run.write_outcomes()
    if change == "roll back":
        roll_back("run 2", "op", "worse")
    else:
        promote(approved("gate 1", second, first))
    assert champion() != pinned
    predictions.load(run.run_id, run.classify())
    assert ledger.close_run(run.run_id)["classified"] == 2
    assert rows("SELECT DISTINCT model_version FROM predictions") == [(pinned,)]


# Approval


def test_nobody_approves_their_own_request(versions):
    hold("gate 1", versions[1], versions[0])
    with pytest.raises(PromotionError, match="somebody else has to approve"):
        record_approval("gate 1", answer(REQUESTER))
    assert rows("SELECT * FROM approvals") == []
    assert not record_approval("gate 1", answer(REQUESTER, "Reject", "changed my mind"))


def test_the_trainer_does_not_approve(versions):
    trained = make_version("by op", by=APPROVER)
    hold("gate 1", trained, versions[0])
    with pytest.raises(PromotionError, match="somebody else has to approve"):
        record_approval("gate 1", answer(APPROVER))


def test_who_asked_for_the_training_does_not_approve(versions):
    row = {"version": versions[1], "parent": versions[0], "asked_by": APPROVER, "reason": "dark", "report_id": None}
    row |= dict.fromkeys(("training_set", "holdout", "recent_set", "run_id", "code_revision"), "x")
    row |= {"image_digest": None, "versions": "{}", "parameters": "{}"}
    with ledger.connect("training") as connection:
        ledger.copy_rows(connection, "model_lineage", list(row), [list(row.values())])
    hold("gate 1", versions[1], versions[0])
    with pytest.raises(PromotionError, match="somebody else has to approve"):
        record_approval("gate 1", answer(APPROVER))


def test_not_even_the_owner_records_a_self_approval(versions, database):
    hold("gate 1", versions[1], versions[0])
    columns = "gate_id, requested_by, decision, approver, reason, decided_at, evidence"
    values = f"'gate 1', '{REQUESTER}', 'approved', 'USER', 'because', now(), repeat('0', 64)"
    row = f"INSERT INTO approvals ({columns}) VALUES ({values})"
    with psycopg.connect(database.owner) as owner, pytest.raises(psycopg.errors.CheckViolation, match="their_own"):
        owner.execute(row)
    with psycopg.connect(database.owner) as owner, pytest.raises(psycopg.errors.ForeignKeyViolation):
        owner.execute(row.replace(f"'{REQUESTER}'", "'somebody'"))


def test_only_those_who_were_asked_answer(versions):
    hold("gate 1", versions[1], versions[0])
    for option in ("Approve", "Reject"):
        with pytest.raises(PromotionError, match="is none of STRANDLINE_APPROVERS"):
            record_approval("gate 1", answer("stranger", option))


def test_an_answer_after_the_time_is_refused(versions):
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)
    hold("gate 1", versions[1], versions[0], answer_by=past)
    with pytest.raises(PromotionError, match="was due by"):
        record_approval("gate 1", answer())


def test_nobody_is_no_answer(versions):
    hold("gate 1", versions[1], versions[0])
    with pytest.raises(PromotionError, match="nobody answered"):
        record_approval("gate 1", answer(None))


@pytest.mark.parametrize("reason", [None, "", " \n ", 7, ["x"], "x" * 2001, "\x1b[2J"])
@pytest.mark.parametrize("option", ["Approve", "Reject"])
def test_an_answer_without_a_fit_reason_is_not_recorded(versions, option, reason):
    hold("gate 1", versions[1], versions[0])
    with pytest.raises(PromotionError, match="reason"):
        record_approval("gate 1", answer(option=option, reason=reason))
    assert rows("SELECT * FROM approvals") == []


@pytest.mark.parametrize("options", [[], ["Maybe"], ["Approve", "Reject"]])
def test_an_answer_that_is_neither_is_not_recorded(versions, options):
    hold("gate 1", versions[1], versions[0])
    with pytest.raises(PromotionError, match="is none that was asked for"):
        record_approval("gate 1", answer() | {"chosen_options": options})


def test_the_first_answer_counts(versions):
    hold("gate 1", versions[1], versions[0])
    record_approval("gate 1", answer(reason="good"))
    record_approval("gate 1", answer(reason="a task that is tried again"))
    with pytest.raises(PromotionError, match="was approved by op already"):
        record_approval("gate 1", answer("admin", "Reject"))
    assert rows("SELECT approver, decision, reason FROM approvals") == [(APPROVER, "approved", "good")]


def test_of_two_answers_at_once_one_counts(versions):
    hold("gate 1", versions[1], versions[0])
    ended = both_at_once(
        lambda: record_approval("gate 1", answer("op")),
        lambda: record_approval("gate 1", answer("admin", "Reject", "no")),
    )
    assert sorted(type(run).__name__ for run in ended) == ["PromotionError", "bool"]
    assert rows("SELECT count(*) FROM approvals") == [(1,)]


# Rolling back


def test_a_roll_back_is_one_step(versions):
    first, second, _ = versions
    promote(approved("gate 1", second, first))
    done = roll_back("run 2", "op", "accuracy fell")
    assert (done.version, done.replaces) == (first, second)
    assert rows("SELECT version, cause, promoted_by, reason, run_id FROM champions WHERE upper_inf(period)") == [
        (first, "rolled back", "op", "accuracy fell", "run 2")
    ]
    assert roll_back("run 2", "op", "accuracy fell") == done


def test_rolling_back_twice_goes_back_once(versions):
    first, second, third = versions
    promote(approved("gate 1", second, first))
    promote(approved("gate 2", third, second))
    ended = both_at_once(
        lambda: roll_back("run 3", "op", "worse", second, third),
        lambda: roll_back("run 4", "admin", "worse", second, third),
    )
    assert sorted(type(run).__name__ for run in ended) == ["ChampionChange", "PromotionError"]
    assert champion() == second


def test_rolling_back_without_a_version_never_goes_forth_again(versions):
    first, second, _ = versions
    promote(approved("gate 1", second, first))
    roll_back("run 2", "op", "worse")
    with pytest.raises(PromotionError, match="there was no other champion before"):
        roll_back("run 3", "op", "worse")
    assert champion() == first


@pytest.mark.parametrize("break_it", BREAKS)
def test_a_roll_back_to_a_bundle_that_is_not_whole_is_refused(versions, break_it):
    first, second, third = versions
    promote(approved("gate 1", second, first))
    break_bundle(first, third, break_it)
    with pytest.raises(PromotionError, match="The champion stays"):
        roll_back("run 2", "op", "worse")
    assert champion() == second


@pytest.mark.parametrize(
    ("by", "why", "to", "expected", "says"),
    [
        ("op", "worse", 2, None, "was never champion"),
        ("op", "worse", 1, None, "is the champion already"),
        ("op", "worse", 0, 0, "is the champion already"),
        ("op", "worse", 0, 2, "the champion is not"),
        ("op", " ", 0, None, "reason"),
        ("op", None, 0, None, "reason"),
        (None, "worse", 0, None, "asked for by a person"),
    ],
)
def test_a_roll_back_is_refused(versions, by, why, to, expected, says):
    promote(approved("gate 1", versions[1], versions[0]))
    with pytest.raises(PromotionError, match=says):
        roll_back("run 2", by, why, versions[to], None if expected is None else versions[expected])
    assert champion() == versions[1]


def test_sql_alone_refuses_a_roll_back_without_a_reason(versions):
    row = {"run_id": "run 1", "to_version": versions[0], "expected": versions[1], "by": "op", "reason": " "}
    with (
        ledger.connect("promotion") as connection,
        pytest.raises(psycopg.errors.RaiseException, match="needs a reason"),
    ):
        ledger.fetch(connection, "roll_back", row)


# Roles and the audit log


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE champions SET version = version",
        "UPDATE champions SET period = tstzrange(lower(period), now())",
        "INSERT INTO champions (version, period, promoted_by, reason) SELECT version, period, 'me', '' FROM champions",
        "DELETE FROM champions",
        "INSERT INTO approvals VALUES ('gate 1', 'user', 'approved', 'op', 'because', now())",
        "UPDATE gates SET outcome = 'pass'",
        "UPDATE gate_results SET outcome = 'pass'",
        "INSERT INTO audit_log (who, what, of_table, details) VALUES ('me', 'it', 'champions', '{}')",
        "DELETE FROM audit_log",
        "SELECT replace_champion('a', 'b', 'installed', 'me', 'because', NULL, NULL)",
        "SELECT audit()",
    ],
)
def test_the_app_moves_no_champion_by_hand(versions, database, statement):
    with psycopg.connect(database.duty("promotion")) as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(statement)


@pytest.mark.parametrize("function", ["record_approval", "promote", "roll_back", "install_first_champion"])
def test_the_analyst_promotes_nobody(versions, database, function):
    with psycopg.connect(database.superuser) as superuser:
        arguments = superuser.execute("SELECT pronargs FROM pg_proc WHERE proname = %s", [function]).fetchone()[0]
    values = ", ".join(["NULL"] * arguments)
    with psycopg.connect(database.analyst) as analyst, pytest.raises(psycopg.errors.InsufficientPrivilege):
        analyst.execute(f"SELECT {function}({values})")


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_log SET who = 'nobody'", "DELETE FROM audit_log", "TRUNCATE audit_log"]
)
def test_not_even_the_owner_changes_the_audit_log(versions, database, statement):
    with psycopg.connect(database.owner) as owner, pytest.raises(psycopg.errors.RaiseException, match="append-only"):
        owner.execute(statement)


def test_every_step_is_in_the_audit_log(versions):
    first, second, third = versions
    promote(approved("gate 1", second, first))
    hold("gate 2", third, second)
    record_approval("gate 2", answer("admin", "Reject", "too slow"))
    roll_back("run 3", "op", "worse")
    assert rows("SELECT who, what, of_table, role FROM audit_log ORDER BY audit_id") == [
        (who, what, table, "strandline_gate" if table == "gates" else "strandline_promotion")
        for who, what, table in [
            ("tester", "installed", "champions"),
            (REQUESTER, "examined", "gates"),
            (APPROVER, "approved", "approvals"),
            (APPROVER, "promoted", "champions"),
            (REQUESTER, "examined", "gates"),
            ("admin", "rejected", "approvals"),
            ("op", "rolled back", "champions"),
        ]
    ]
    assert rows("SELECT details ->> 'reason' FROM audit_log WHERE what IN ('rejected', 'rolled back')") == [
        ("too slow",),
        ("worse",),
    ]
