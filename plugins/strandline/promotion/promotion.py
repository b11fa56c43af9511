"""Promotion: a challenger is examined, a person answers, the champion changes; and the way back.

The ledger's functions hold the promises (`sql/migrations/0007_promotion.sql`). Here is what Postgres cannot know:
whether a bundle is whole, and what a person's answer says.
"""

import contextlib
import dataclasses
import datetime
import logging
from collections.abc import Container, Iterator, Mapping
from typing import Any, NamedTuple

import psycopg

import strandline_contract as contract
from strandline import ledger, settings
from strandline.errors import PermanentError
from strandline.models import bundles, versions

log = logging.getLogger(__name__)

DECISIONS = {"Approve": "approved", "Reject": "rejected"}  # by what a person clicks


class PromotionError(PermanentError):
    """The champion stays, and another try cannot help; the message says why."""


@dataclasses.dataclass(frozen=True)
class ChampionChange(contract.Message):
    """A version is champion in place of another, `since` when (ISO format)."""

    version: str
    replaces: str
    since: str


class Answer(NamedTuple):
    """What a person said to a question."""

    option: str
    person: str
    reason: str
    at: datetime.datetime


def read_answer(answer: Mapping[str, Any], options: Container[str]) -> Answer:
    """What Airflow's human-in-the-loop hands on, checked: Airflow itself checks none of it against the form.

    Args:
        answer: `chosen_options`, `params_input` (`reason`), `responded_at` and `responded_by_user`.

    Raises:
        PromotionError: nobody answered, nobody of STRANDLINE_APPROVERS, not with one of the options, or without a
            reason.
    """
    user, chosen = answer.get("responded_by_user") or {}, answer["chosen_options"]
    person = user.get("name")
    if not person:
        raise PromotionError("nobody answered: the champion stays")
    if settings.get().promotion.approver_ids.get(person) != user.get("id"):
        raise PromotionError(
            f"{person} with the id {user.get('id')} is none of STRANDLINE_APPROVERS: the champion stays"
        )
    if len(chosen) != 1 or chosen[0] not in options:
        raise PromotionError(f"the answer {chosen} is none that was asked for: clear the task that asks")
    at = answer["responded_at"]
    parsed = at if isinstance(at, datetime.datetime) else datetime.datetime.fromisoformat(at)
    return Answer(chosen[0], person, reason((answer.get("params_input") or {}).get("reason")), parsed)


def record_approval(gate_id: str, answer: Mapping[str, Any]) -> bool:
    """Record what a person answered to a gate; says whether they approved. The same again changes nothing.

    Called where Airflow itself hands on the answer, so that it takes no way on which others could change it.

    Raises:
        PromotionError: no fit answer, not in time, or by somebody who may not give it; nothing was recorded.
    """
    said = read_answer(answer, DECISIONS)
    row = {"gate_id": gate_id, "decision": DECISIONS[said.option], "approver": said.person, "reason": said.reason}
    with ledger.connect("promotion") as connection, _refused():
        ledger.fetch(connection, "insert_approval", row | {"answered_at": said.at})
    log.info("%s by %s: %s", row["decision"], said.person, said.reason)
    return row["decision"] == "approved"


def approved(gate_id: str) -> bool:
    """Whether the answer to a gate is yes, as the ledger has it.

    Raises:
        PromotionError: it has none.
    """
    nobody = f"the ledger has no answer to gate {gate_id}: clear the task that asks"
    with ledger.connect("promotion") as connection:
        answer = _one(connection, "select_approval", {"gate_id": gate_id}, nobody)
    return bool(answer["decision"] == "approved")


def check_lapsed() -> None:
    """Say which challengers passed their gate and got no answer in time, within the last day.

    Raises:
        PromotionError: some did; the message names them, and who asked.
    """
    with ledger.connect("ingest") as connection:
        lapsed = ledger.fetch(connection, "select_lapsed_gates")
    if lapsed:
        each = "; ".join(
            f"{row['challenger'][:12]} (gate {row['gate_id']}, asked for by {row['requested_by']}, until"
            f" {row['answer_by']:%Y-%m-%d %H:%M} UTC)"
            for row in lapsed
        )
        raise PromotionError(
            f"nobody answered whether a challenger that passed shall be champion: {each}. Trigger promote_model again"
        )


def reason(given: object) -> str:
    """Why somebody wants it, on one line.

    Raises:
        PromotionError: it is no text, empty, or too long.
    """
    if not isinstance(given, str) or not (line := " ".join(given.split())):
        raise PromotionError("no reason was given: clear the task that asks, or trigger again, and give one")
    if len(line) > settings.REASON_LENGTH or not line.isprintable():
        raise PromotionError(
            f"the reason has more than {settings.REASON_LENGTH:,} or unprintable characters: clear, and answer again"
        )
    return line


def promote(gate_id: str) -> ChampionChange:
    """Make the challenger of an approved gate the champion, in place of the one that it was compared with. Doing it
    again changes nothing.

    Raises:
        PromotionError: its bundle is not whole; the gate was not passed or not approved; or the champion changed since.
    """
    with ledger.connect("promotion") as connection, _refused():
        gate = _one(connection, "select_gate", {"gate_id": gate_id}, f"there is no gate {gate_id}")
        _check_bundle(connection, gate["challenger"])
        done = {"gate_id": gate_id, "expected": gate["champion"]}
        since = ledger.fetch(connection, "promote", done)[0]["since"]
    log.info("version %s is champion since %s", gate["challenger"], since.isoformat())
    return ChampionChange(gate["challenger"], gate["champion"], since.isoformat())


def roll_back(
    run_id: str, by: str | None, why: object, to_version: str | None = None, expected: str | None = None
) -> ChampionChange:
    """Put a version back that was champion before. A run does it once: doing it again changes nothing.

    Args:
        run_id: of the DAG that asks.
        by: the person who asks.
        to_version: the one before the champion by default.
        expected: to be the champion now; whoever is by default.

    Raises:
        PromotionError: no reason or no person, it was never champion, its bundle is gone or altered, or the champion is
            not who was expected. The champion stays.
    """
    if not by:
        raise PromotionError("a roll back is asked for by a person: trigger it in Airflow as one")
    line = reason(why)
    with ledger.connect("promotion") as connection, _refused():
        if done := ledger.fetch(connection, "select_roll_back", {"run_id": run_id}):
            return _changed(done[0])
        row: dict[str, Any] = {"run_id": run_id, "by": by, "reason": line}
        current = versions.champion(connection)["version"]
        row["expected"] = versions.find(connection, expected)["version"] if expected else current
        before = to_version or _before(connection, row["expected"])
        row["to_version"] = versions.find(connection, before)["version"]
        _check_bundle(connection, row["to_version"])
        ledger.fetch(connection, "roll_back", row)
        changed = _changed(ledger.fetch(connection, "select_roll_back", row)[0])
    log.info("rolled back from %s to %s", changed.replaces, changed.version)
    return changed


def _before(connection: ledger.Connection, version: str) -> str:
    nobody = f"there was no other champion before {version}: give the version to go back to"
    return str(_one(connection, "select_predecessor", {"version": version}, nobody)["version"])


def _check_bundle(connection: ledger.Connection, version: str) -> None:
    row = _one(connection, "select_model_version", {"version": version}, f"no model version {version} is registered")
    try:
        bundles.verify(settings.get().store / row["bundle"], version)
    except bundles.BundleError as error:
        raise PromotionError(f"the bundle of version {version} cannot be used: {error}. The champion stays") from error


def _one(connection: ledger.Connection, query: str, row: Mapping[str, Any], otherwise: str) -> dict[str, Any]:
    found = ledger.fetch(connection, query, row)
    if not found:
        raise PromotionError(otherwise)
    return found[0]


def _changed(row: Mapping[str, Any]) -> ChampionChange:
    return ChampionChange(row["version"], row["replaces"], row["since"].isoformat())


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    """What the ledger refuses, in its own words."""
    try:
        yield
    except (psycopg.errors.RaiseException, psycopg.errors.CheckViolation) as error:
        raise PromotionError(error.diag.message_primary or str(error)) from error
