"""Evaluation: a challenger and the champion answer the same images, and a gate is evaluated on what they answer.

`plan` pins who is compared on what, in the ledger; the steps after it are called with that. `hold` examines, writes the
report, and records the gate: once for a run, whatever is cleared, so that trying again is no way to better luck.
"""

import dataclasses
import datetime
import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from psycopg.types.json import Jsonb

import strandline_contract as contract
from strandline import ledger, reports, settings
from strandline.attempts import SealedAttempt
from strandline.models import datasets, thumbnails, versions
from strandline.promotion import answers, asked, gate
from strandline.promotion import page as gate_page
from strandline.promotion.asked import Case, EvaluationError, Model
from strandline.promotion.check import Check, Scope
from strandline.promotion.rules import DEFAULTS, Rules

log = logging.getLogger(__name__)

ROUNDS = 100  # of a batch each: with 10, what else runs on the host decides
FIRST_ROUNDS = 3  # of a first gate, which says how long an image takes, and does not judge it
GRACE = datetime.timedelta(hours=1)  # from the gate to the question, and from the answer to its record
REPORT = "gate.json"


class Waiting(NamedTuple):
    """A trained challenger (a version) that waits for its gate."""

    challenger: str
    asked_by: str


@dataclasses.dataclass(frozen=True)
class GatePlan:
    """What a run of promote_model is about, as the ledger has it: versions, and dataset ids, None of a set that was
    never frozen. Who asked may not approve.
    """

    gate_id: str
    champion: str
    challenger: str
    holdout: str | None
    recent: str | None
    requested_by: str


@dataclasses.dataclass(frozen=True)
class EvaluatedGate(contract.Message):
    """The gate of a run of promote_model, as the ledger has it: `page` is the address of the report, `body` what an
    approver reads first, in Markdown.
    """

    gate_id: str
    outcome: str
    sentence: str
    champion: str
    challenger: str
    page: str
    body: str


class GateResult(NamedTuple):
    """A row of `gate_results`."""

    gate_id: str
    check_name: str
    outcome: str
    sentence: str
    found: float | None
    low: float | None
    high: float | None
    bound: float | None
    allowed: str | None
    unit: str | None
    measured_on: str | None
    needed: int | None


def waiting() -> Waiting | None:
    """The trained challenger that waits for its gate, and who asked for it; None if none does."""
    with ledger.connect("gate") as connection:
        found = ledger.fetch(connection, "select_waiting_challenger")
    return Waiting(found[0]["version"], found[0]["asked_by"]) if found else None


def plan(run_id: str, asked_by: str, challenger: str | None, expected: str | None = None) -> GatePlan:
    """Pin who is compared, on what: the champion, the fixed holdout and the newest labelled images. A run is
    planned once: asked again, it answers with that.

    Args:
        run_id: of promote_model: the id of the gate to come.
        asked_by: who asks for the gate, as Airflow or the ledger knows them: they may not approve.
        challenger: a registered version.
        expected: the version that has to be champion; whoever is by default.

    Raises:
        EvaluationError: there is no such challenger, it is the champion, or the champion is not who was expected.
    """
    with ledger.connect("gate") as connection:
        if done := ledger.fetch(connection, "select_gate_plan", {"gate_id": run_id}):
            return GatePlan(**done[0])
        planned = _pin(connection, run_id, asked_by, challenger, expected)
        ledger.execute(connection, "insert_gate_plan", dataclasses.asdict(planned))
    return pinned(run_id)


def pinned(run_id: str) -> GatePlan:
    """What a run of promote_model is about, as the ledger has it.

    Raises:
        EvaluationError: it was not planned.
    """
    with ledger.connect("gate") as connection:
        found = ledger.fetch(connection, "select_gate_plan", {"gate_id": run_id})
    if not found:
        raise EvaluationError(f"the ledger has no plan of run {run_id}: clear the task that plans")
    return GatePlan(**found[0])


def _pin(
    connection: ledger.Connection, run_id: str, asked_by: str, challenger: str | None, expected: str | None
) -> GatePlan:
    if not challenger:
        raise EvaluationError("no challenger was named: trigger this DAG again with its version")
    champion, version = _model(versions.champion(connection)), _read_model(connection, challenger)
    expected = versions.find(connection, expected)["version"] if expected else None
    if expected and expected != champion.version:
        raise EvaluationError(
            f"the champion is {champion.version}, not {expected}: look at what changed, and ask again"
        )
    if champion.version == version.version:
        raise EvaluationError(f"version {challenger} is the champion already")
    holdout = datasets.latest(connection, "holdout", classes=version.classes)
    recent = datasets.latest(connection, "recent", some_of=Case(champion, version, None, None).shared)
    return GatePlan(
        gate_id=run_id,
        champion=champion.version,
        challenger=version.version,
        holdout=holdout.dataset_id if holdout else None,
        recent=recent.dataset_id if recent else None,
        requested_by=asked_by,
    )


def infra_validate_request(pinned: GatePlan) -> contract.InfraValidateRequest:
    """The request to try both models in the real runner.

    Raises:
        UnprovedRuntime: one of them may not be computed as the settings say.
    """
    config, case = settings.get(), _case(pinned)
    return contract.InfraValidateRequest(
        shard_id=case.challenger.version,
        champion=case.champion.ref,
        challenger=case.challenger.ref,
        rounds=ROUNDS if case.shared else FIRST_ROUNDS,
        runtime=_runtime(config, case),
    )


def packings(pinned: GatePlan, validated: SealedAttempt) -> list[contract.PackRequest]:
    """The requests to pack images of the sets again, for a model that wants other pixels than their shards have; none
    if the challenger did not load.
    """
    config, case = settings.get(), _case(pinned)
    if not answers.read_infra_validation(config, case, pinned.gate_id, validated).loaded:
        return []
    with ledger.connect("gate") as connection:
        wanted = asked.packings(connection, config, case, pinned.gate_id)
    return [request for requests in wanted.values() for request in requests]


def evaluations(
    pinned: GatePlan, validated: SealedAttempt, packed: Sequence[SealedAttempt] = ()
) -> list[contract.EvaluateRequest]:
    """The requests to answer each set with each model; none if the challenger did not load.

    Raises:
        EvaluationError: something else was packed than `packings` asks for.
        UnprovedRuntime: one of them may not be computed as the settings say.
    """
    config, case = settings.get(), _case(pinned)
    if not answers.read_infra_validation(config, case, pinned.gate_id, validated).loaded:
        return []
    with ledger.connect("gate") as connection:
        return asked.evaluations(connection, config, case, pinned.gate_id, packed)


def evaluate_gate(
    pinned: GatePlan,
    validated: SealedAttempt,
    evaluated: Iterable[SealedAttempt],
    packed: Sequence[SealedAttempt] = (),
) -> EvaluatedGate:
    """Examine, write the report, record the gate. A run holds one gate: asked again, it answers with that.

    Raises:
        EvaluationError: what was evaluated is not what was asked for.
        contract.NoResult: files of an attempt are missing or altered.
    """
    run_id = pinned.gate_id
    config, case = settings.get(), _case(pinned)
    with ledger.connect("gate") as connection:
        if not ledger.fetch(connection, "select_gate", {"gate_id": run_id}):
            found = answers.read(config, case, run_id, evaluations(pinned, validated, packed), evaluated)
            _record(connection, config, run_id, case, validated, found, pinned.requested_by)
    return gate_result(run_id)


def gate_result(run_id: str) -> EvaluatedGate:
    """The gate of a run of promote_model, as the ledger has it.

    Raises:
        EvaluationError: none was evaluated.
    """
    with ledger.connect("gate") as connection:
        found = ledger.fetch(connection, "select_gate", {"gate_id": run_id})
        if not found:
            raise EvaluationError(f"the ledger has no gate of run {run_id}: clear the task that holds it")
        (row,) = found
        checks = ledger.fetch(connection, "select_gate_results", {"gate_id": run_id})
    log.info("the gate's outcome: %s. %s", row["outcome"], row["sentence"])
    page = reports.publish("gate", Path(row["folder"]).name, f"{row['challenger'][:12]}: {row['outcome']}")
    listed = "\n".join(f"- **{check['check_name']}** ({check['outcome']}): {check['sentence']}" for check in checks)
    body = f"{row['sentence']}\n\n{listed}\n\nRequested by {row['requested_by']}. [Open the report]({page})"
    told = {name: row[name] for name in ("gate_id", "outcome", "sentence", "champion", "challenger")}
    return EvaluatedGate(**told, page=page, body=body)


def approval_request(run_id: str) -> tuple[str, str]:
    """What an approver is asked about a gate: a line, and a body in Markdown."""
    evaluated_gate = gate_result(run_id)
    return f"Shall {evaluated_gate.challenger[:12]} be champion?", evaluated_gate.body


def _record(
    connection: ledger.Connection,
    config: settings.Settings,
    run_id: str,
    case: Case,
    validated: SealedAttempt,
    found: answers.Found,
    requested_by: str,
) -> None:
    now, rules = datetime.datetime.now(datetime.UTC), _rules(config)
    sets = {name: answers.labelled_set(connection, config, case, name, found) for name in case.sets}
    measured = answers.read_infra_validation(config, case, run_id, validated)
    validation = answers.infra_validation(config, case, measured, found)
    examined = gate.examine(
        case.classes,
        sets.get("holdout"),
        sets.get("recent"),
        validation,
        rules,
        own=answers.own_set(config, case, found),
        scope=Scope(case.champion.classes, case.challenger.classes),
    )
    examined = dataclasses.replace(examined, sentence=" ".join([examined.sentence, *_missing(config, case, found)]))
    report = dataclasses.asdict(examined) | {"champion": case.champion.version, "challenger": case.challenger.version}
    report |= {"rules": dataclasses.asdict(rules), "requested_by": requested_by, "made_at": f"{now:%Y-%m-%d %H:%M} UTC"}
    folder = f"gates/{config.run_folder(run_id).name}"
    page = gate_page.render(report, _shown(connection, config, case, examined))
    _write(config.store / folder, {REPORT: json.dumps(report, indent=1, default=_jsonable), reports.PAGE: page})
    row: dict[str, Any] = {
        "gate_id": run_id,
        "challenger": case.challenger.version,
        "champion": case.champion.version,
        "holdout_set": case.holdout and case.holdout.dataset_id,
        "recent_set": case.recent and case.recent.dataset_id,
        "checks": len(examined.checks),
        "outcome": examined.outcome,
        "sentence": examined.sentence,
        "rules": Jsonb(dataclasses.asdict(rules)),
        "folder": folder,
        "html_sha256": hashlib.sha256(page.encode()).hexdigest(),
        "requested_by": requested_by,
        "approvers": list(config.promotion.approver_ids),
        "answer_by": now + datetime.timedelta(hours=config.promotion.approval_hours) + GRACE,
    }
    if ledger.execute(connection, "insert_gate", row):
        results = [_result(run_id, check) for check in examined.checks]
        ledger.copy_rows(connection, "gate_results", GateResult._fields, results)


def _missing(config: settings.Settings, case: Case, found: answers.Found) -> Iterator[str]:
    """How many images of each set a model could not be asked about, since their files are gone, as sentences."""
    for name, part in case.sets.items():
        for side in case.models:
            known = len(asked.labels_of(config, part, case.known(side)))
            answered = found.get((name, side))
            if found and (gone := known - (len(answered.images) if answered else 0)):
                yield (
                    f"Of {gone:,} of {known:,} {name} images no file is left to be packed for the {side}: they do not"
                    " count."
                )


def _shown(
    connection: ledger.Connection, config: settings.Settings, case: Case, examined: gate.Gate
) -> dict[str, gate_page.Image]:
    """By id, what a person sees of each image that only the champion has right: its file's name, and a png."""
    compared = {name: getattr(examined, name) for name in case.sets}
    lost = {name: [one.image for one in part.lost] for name, part in compared.items() if part}
    ids = [image for images in lost.values() for image in images]
    names = {row["image_id"]: row["name"] for row in ledger.fetch(connection, "select_image_names", {"image_ids": ids})}
    return {
        image: gate_page.Image(names.get(image), png)
        for name, images in lost.items()
        for image, png in thumbnails.of_shards(config.store, case.sets[name].shards, images).items()
    }


def _result(gate_id: str, check: Check) -> GateResult:
    found = check.found
    return GateResult(
        gate_id=gate_id,
        check_name=check.name,
        outcome=check.outcome,
        sentence=check.sentence,
        found=float(found.value) if found else None,
        low=float(found.low) if found else None,
        high=float(found.high) if found else None,
        bound=check.bound,
        allowed=check.allowed,
        unit=check.unit,
        measured_on=check.measured_on,
        needed=check.needed or None,
    )


def _case(pinned: GatePlan) -> Case:
    with ledger.connect("gate") as connection:
        champion, challenger = (_read_model(connection, version) for version in (pinned.champion, pinned.challenger))
        holdout, recent = (datasets.read(connection, one) if one else None for one in (pinned.holdout, pinned.recent))
    return Case(champion, challenger, holdout, recent)


def _runtime(config: settings.Settings, case: Case) -> contract.Runtime:
    """In which the challenger would run, and both are compared."""
    with ledger.connect("gate") as connection:
        return asked.runtime(connection, config, case)


def _read_model(connection: ledger.Connection, version: str) -> Model:
    return _model(versions.find(connection, version))


def _model(row: Mapping[str, Any]) -> Model:
    return Model(row["version"], row["bundle"], tuple(row["classes"]))


def _rules(config: settings.Settings) -> Rules:
    return Rules(
        floor=config.promotion.gate_floor,
        holdout_margin=config.promotion.gate_holdout_margin,
        recent_rule=cast(Literal["superior", "non-inferior"], config.promotion.gate_recent_rule),
        recent_margin=config.promotion.gate_recent_margin,
        class_floor=config.promotion.gate_class_floor,
        latency_ratio=config.promotion.gate_latency_ratio,
        golden_tolerance=max(DEFAULTS.golden_tolerance, contract.TOLERANCES[config.vision.runtime().precision]),
    )


def _jsonable(value: Any) -> Any:
    """numpy's numbers, and arrays of them."""
    return value.tolist()


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    """Each file whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        contract.write_whole(folder / name, text.encode())
