"""Rollouts: a version answers over HTTP beside the champion, first as a shadow, then as a canary of a growing share.

The ledger's functions hold the promises (`sql/migrations/0015_rollouts.sql`): at most one at a time, an approval for
the last step, an end with each change of the champion. Here is what is compared, and what follows.
"""

import contextlib
import dataclasses
import datetime
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg.rows import DictRow

import strandline_contract as contract
from strandline import ledger, settings
from strandline.errors import PermanentError
from strandline.models import bundles, versions
from strandline.serving import comparison
from strandline.serving.comparison import MOST_STEPS, Finding
from strandline.serving.tasks import APPROVE, STEP_BACK

log = logging.getLogger(__name__)

BY_ITSELF = "serve_canary"  # who takes steps that nobody has to be asked for
SHADOW_SHARE = 0.5  # of the pictures: each is computed twice
ROWS = 10_000  # pictures of a step that are compared, at the most: the first ones; and of a block, from the approval on
ASKED, APPROVED = "asked for approval", "approved last step"  # as the ledger calls these steps
DECISIONS = {APPROVE: "approved", STEP_BACK: "rejected"}


class RolloutError(PermanentError):
    """The champion answers all callers, or a step was not taken; the message says why."""


@dataclasses.dataclass(frozen=True)
class Plan(contract.Message):
    """What a rollout takes.

    `steps`: shares of callers, ever larger. `pictures`: of the version, that each step takes at the least.
    `wait_hours`: that each may take at the most.

    Raises:
        BadRequest: nothing can be rolled out so.
    """

    steps: tuple[float, ...]
    pictures: int
    wait_hours: float

    def __post_init__(self) -> None:
        if not 1 <= len(self.steps) <= MOST_STEPS:
            raise contract.BadRequest(f"a rollout has 1 to {MOST_STEPS} steps, not {len(self.steps)}")
        if list(self.steps) != sorted(set(self.steps)) or not (self.steps[0] > 0 and self.steps[-1] < 1):
            raise contract.BadRequest(f"steps are ever larger shares between 0 and 1, not {self.steps}")
        if not 0 < self.pictures <= ROWS or self.wait_hours <= 0:
            raise contract.BadRequest(f"a step takes 1 to {ROWS:,} pictures, and some hours")

    def __str__(self) -> str:
        shares = ", ".join(f"{share:.3g}" for share in self.steps)
        return f"shares {shares}; {self.pictures:,} pictures and at most {self.wait_hours:g} hours a step"


def planned(params: Mapping[str, Any]) -> Plan:
    """What the parameters of a run say.

    Raises:
        RolloutError: nothing can be rolled out so.
    """
    try:
        return Plan.from_dict({name: params[name] for name in ("steps", "pictures", "wait_hours")})
    except contract.BadRequest as error:
        raise RolloutError(str(error)) from error


def start(rollout_id: str, by: str, version: str | None, plan: Plan) -> str:
    """Begin with the shadow; the version. Doing it again changes nothing.

    Args:
        rollout_id: the run of serve_canary.
        version: or the beginning of its id.

    Raises:
        RolloutError: no version is given, another rollout is on, it is the champion, its bundle is not whole, or it has
            other classes or wants other pixels.
        VersionError, NoChampion: there is no such version.
    """
    if not version:
        raise RolloutError("no version was given: trigger again, with the version that shall answer")
    with ledger.connect("promotion") as connection, _refused():
        found, champion = versions.find(connection, version), versions.champion(connection)
        _check_comparable(found, champion)
        row = {"rollout_id": rollout_id, "version": found["version"], "share": SHADOW_SHARE, "by": by}
        ledger.fetch(connection, "call_start_rollout", row | {"why": str(plan)})
    return str(found["version"])


def _check_comparable(version: DictRow, champion: DictRow) -> None:
    """Whether both can answer the same pictures, with the same classes.

    Raises:
        RolloutError: they cannot, or a bundle is not whole.
    """
    unlike = f"version {version['version']} cannot be compared with the champion: it has other"
    if sorted(version["classes"]) != sorted(champion["classes"]):
        raise RolloutError(f"{unlike} classes. Pin consumers to it")
    try:
        rule, other = map(_rule, (version, champion))
    except bundles.BundleError as error:
        raise RolloutError(f"it could answer nobody: {error}") from error
    if rule != other:
        raise RolloutError(f"{unlike} pixels of a picture. Pin consumers to it")


def _rule(model: DictRow) -> contract.ResizeRule:
    bundle = contract.store_path(settings.get().store, model["bundle"])
    return bundles.preprocessing(bundle, model["version"]).resize_rule()


def watch(rollout_id: str, number: int, plan: Plan) -> bool:
    """Take a step, unless it is taken, and look whether the version is as good there; says whether the next may come.

    Args:
        number: 1 is the shadow, 2 the first share. There is nothing to wait for if the plan has no such step.

    Raises:
        RolloutError: the rollout is over; or it is now, since the version is worse, or not shown to be as good in time.
    """
    if number > 1 + len(plan.steps):
        log.info("the plan has %d steps only", len(plan.steps))
        return True
    last = _last(rollout_id)
    if last["number"] > number:
        return True
    if last["number"] < number:
        if not watch(rollout_id, last["number"], plan):  # whoever marks a task as done takes no step by it
            return False
        last = _step(rollout_id, number, plan)
    finding = look(rollout_id, last, plan.pictures)
    log.info("%s: %s", finding.outcome, finding.sentence)
    if finding.outcome == "worse":
        raise _stepped_back(rollout_id, finding.sentence)
    if finding.outcome == "as good":
        return True
    if datetime.datetime.now(datetime.UTC) - last["at"] > datetime.timedelta(hours=plan.wait_hours):
        raise _stepped_back(rollout_id, f"After {plan.wait_hours:g} hours: {finding.sentence}")
    return False


def _step(rollout_id: str, number: int, plan: Plan) -> DictRow:
    before = look(rollout_id, _last(rollout_id), plan.pictures)
    row = {"rollout_id": rollout_id, "number": number, "share": plan.steps[number - 2]}
    with ledger.connect("promotion") as connection, _refused():
        ledger.fetch(connection, "call_step_rollout", row | {"by": BY_ITSELF, "why": before.sentence})
    return _last(rollout_id)


def look(rollout_id: str, step: DictRow, pictures: int) -> Finding:
    """What a step (`select_rollout_steps`) has shown until now, of which so many pictures are enough."""
    with ledger.connect("promotion") as connection:
        if step["what"] == "shadow":
            about = {"rollout_id": rollout_id, "since": step["at"], "rows": ROWS}
            about |= {"version": step["version"], "champion": step["champion"]}
            return comparison.shadow(ledger.fetch(connection, "select_shadowed", about), pictures)
        version, champion = (
            _answers(connection, rollout_id, step, role, step["at"]) for role in ("canary", "champion")
        )
    return comparison.canary(version, champion, step["share"], pictures)


def _answers(
    connection: ledger.Connection,
    rollout_id: str,
    step: DictRow,
    role: str,
    since: datetime.datetime,
    until: datetime.datetime | None = None,
) -> Sequence[DictRow]:
    """What one arm of a canary answered."""
    canary = role == "canary"
    about = {"rollout_id": rollout_id, "role": role, "version": step["version" if canary else "champion"]}
    rows = ROWS if canary else ROWS * comparison.MOST_BESIDE
    about |= {"since": since, "until": until, "rows": rows}
    return ledger.fetch(connection, "select_rollout_answers", about)


def keep_watching(rollout_id: str) -> bool:
    """Look on while an approver is asked, and after the last step; says whether the rollout is over.

    Raises:
        RolloutError: it is over, since the version was worse.
    """
    steps = _steps(rollout_id)
    last = steps[-1]
    if last["share"] == 0:
        if (last["what"], last["who"]) == ("stepped back", BY_ITSELF):
            raise RolloutError(_over(rollout_id, last))
        log.info("%s", _over(rollout_id, last))
        return True
    for finding in _look_on(rollout_id, steps):
        log.info("%s: %s", finding.outcome, finding.sentence)
        if finding.outcome == "worse":
            raise _stepped_back(rollout_id, f"{last['what'].capitalize()}, and then: {finding.sentence}")
    return False


def _look_on(rollout_id: str, steps: Sequence[DictRow]) -> list[Finding]:
    """What the first and the newest block of answers show, since the approval was asked for or given."""
    last = steps[-1]
    if last["what"] not in (ASKED, APPROVED):
        return []
    found = []
    with ledger.connect("promotion") as connection:
        about = {"rollout_id": rollout_id, "since": last["at"], "rows": ROWS}
        starts = [row["at"] for row in ledger.fetch(connection, "select_rollout_blocks", about)]
        # The first again, since labels come late.
        for block in sorted({0, len(starts) - 1}) if starts else ():
            until = starts[block + 1] if block + 1 < len(starts) else None
            version = _answers(connection, rollout_id, last, "canary", starts[block], until)
            level = comparison.level_of(block)
            if last["what"] == ASKED:
                champion = _answers(connection, rollout_id, last, "champion", starts[block], until)
                found.append(comparison.canary(version, champion, last["share"], 0, level))
            else:  # nobody is the champion's any more: it stands as it was in the last canary step
                since = next(step["at"] for step in reversed(steps) if step["what"] == "canary")
                champion = _answers(connection, rollout_id, last, "champion", since, last["at"])
                found.append(comparison.last_step(version, champion, level))
    return found


def step_back(rollout_id: str, why: str) -> bool:
    """Give all callers back to the champion; whether any had to be."""
    return _end(rollout_id, "stepped back", BY_ITSELF, why)


def give_up(rollout_id: str) -> None:
    """Step back, unless that was done, and say what the rollout ended by: before its last step, it ends in red.

    Raises:
        RolloutError: always.
    """
    step_back(rollout_id, "a task of the run failed: its log says why")
    raise RolloutError(_over(rollout_id, _steps(rollout_id)[-1]))


def end(by: str | None, why: str | None) -> str:
    """End the rollout that is on, whichever it is; its id.

    Raises:
        RolloutError: none is, or it does not say who ends it and why.
    """
    if not by or not why or not why.strip():
        raise RolloutError("a rollout is ended by a person, with a reason: trigger again as one, and give it")
    with ledger.connect("promotion") as connection:
        found = ledger.fetch(connection, "select_current_rollout")
    if not found or not _end(found[0]["rollout_id"], "ended", by, why):
        raise RolloutError("no rollout is on")
    return str(found[0]["rollout_id"])


def ask(rollout_id: str) -> tuple[str, str]:
    """Record that an approver is asked for the last step; the question: a line, and a body in Markdown. Doing it again
    records nothing.

    Raises:
        RolloutError: the rollout is over, or is no canary.
    """
    last = _last(rollout_id)
    row = {"rollout_id": rollout_id, "by": BY_ITSELF, "why": look(rollout_id, last, pictures=0).sentence}
    with ledger.connect("promotion") as connection, _refused():
        ledger.fetch(connection, "call_ask_rollout", row)
    said = [f"- {step['what']} of {step['share']:.3g}: {step['why']}" for step in _steps(rollout_id)]
    return f"Shall version {last['version'][:12]} answer all callers?", "\n".join(said)


def take_answer(rollout_id: str, option: str, person: str, why: str) -> None:
    """Record what a person said to the last step. The same again changes nothing.

    Raises:
        RolloutError: they may not say so, or the rollout is over.
    """
    row = {"rollout_id": rollout_id, "answer": DECISIONS[option], "by": person, "why": why}
    with ledger.connect("promotion") as connection, _refused():
        ledger.fetch(connection, "call_answer_rollout", row)


def _last(rollout_id: str) -> DictRow:
    """
    Raises:
        RolloutError: it is over.
    """
    last = _steps(rollout_id)[-1]
    if last["share"] == 0:
        raise RolloutError(_over(rollout_id, last))
    return last


def _over(rollout_id: str, last: DictRow) -> str:
    return f"rollout {rollout_id} is over: {last['what']} by {last['who']}: {last['why']}"


def _steps(rollout_id: str) -> Sequence[DictRow]:
    with ledger.connect("promotion") as connection:
        steps = ledger.fetch(connection, "select_rollout_steps", {"rollout_id": rollout_id})
    if not steps:
        raise RolloutError(f"there is no rollout {rollout_id}: clear the task that plans")
    return steps


def _end(rollout_id: str, what: str, by: str, why: str) -> bool:
    row = {"rollout_id": rollout_id, "what": what, "by": by, "why": why}
    with ledger.connect("promotion") as connection, _refused():
        return bool(ledger.fetch(connection, "call_end_rollout", row)[0]["was_on"])


def _stepped_back(rollout_id: str, sentence: str) -> RolloutError:
    step_back(rollout_id, sentence)
    return RolloutError(f"{sentence} The champion answers all callers again")


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    """What the ledger refuses, in its own words."""
    try:
        yield
    except (psycopg.errors.RaiseException, psycopg.errors.CheckViolation) as error:
        raise RolloutError(error.diag.message_primary or str(error)) from error
