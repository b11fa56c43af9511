"""Evaluation: a challenger and the champion answer the same images, and a gate is held on what they answer.

`plan` pins who is compared on what, in the ledger; the steps after it are called with that. `hold` examines, writes the
report, and records the gate: once for a run, whatever is cleared, so that trying again is no way to better luck.
"""

import dataclasses
import datetime
import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from psycopg.types.json import Jsonb

import strandline_contract as contract
from strandline import attempts, ledger, periods, settings, tables
from strandline.attempts import SealedAttempt
from strandline.errors import PermanentError
from strandline.models import datasets, thumbnails, versions
from strandline.models.datasets import Dataset
from strandline.promotion import gate
from strandline.promotion import page as gate_page
from strandline.promotion.check import Check, InfraValidation, SetName
from strandline.promotion.comparison import Answers, LabelledSet
from strandline.promotion.rules import Rules

log = logging.getLogger(__name__)

ROUNDS = 100  # of a batch each: with 10, what else runs on the host decides
GOLDEN = 64  # images, at the most
DROPS = 24  # slices of a window, at the most: the drops that most images landed in
SOURCES = 24  # and the sources that most came from
GRACE = datetime.timedelta(hours=1)  # from the gate to the question, and from the answer to its record
SIDES = ("champion", "challenger")
REPORT, PAGE = "gate.json", "index.html"


class EvaluationError(PermanentError):
    """No gate can be held, and another try cannot help; the message says why."""


class Model(NamedTuple):
    """A model version of the ledger."""

    version: str
    bundle: str
    classes: tuple[str, ...]

    @property
    def ref(self) -> contract.BundleRef:
        return contract.BundleRef(self.bundle, self.version)


class Case(NamedTuple):
    """Who is compared, on what. A set that was never frozen is None."""

    champion: Model
    challenger: Model
    holdout: Dataset | None
    window: Dataset | None

    @property
    def sets(self) -> dict[SetName, Dataset]:
        both: dict[SetName, Dataset | None] = {"holdout": self.holdout, "window": self.window}
        return {name: part for name, part in both.items() if part}

    @property
    def models(self) -> dict[str, Model]:
        return dict(zip(SIDES, (self.champion, self.challenger), strict=True))


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
    window: str | None
    requested_by: str


@dataclasses.dataclass(frozen=True)
class HeldGate(contract.Message):
    """The gate of a run of promote_model, as the ledger has it: `page` is the path of the report, `body` what an
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
    """The trained challenger that waits for its gate, and who asked for it; None where none does."""
    with ledger.connect("gate") as connection:
        found = ledger.fetch(connection, "select_waiting_challenger")
    return Waiting(found[0]["version"], found[0]["asked_by"]) if found else None


def plan(run_id: str, asked_by: str, challenger: str | None, expected: str | None = None) -> GatePlan:
    """Pin who is compared, on what: the champion, the fixed holdout and the newest window of labelled images. A run is
    planned once: asked again, it answers with that.

    Args:
        run_id: of promote_model: the id of the gate to come.
        asked_by: who asks for the gate, as Airflow or the ledger knows them: they may not approve.
        challenger: a registered version.
        expected: the version that has to be champion; whoever is by default.

    Raises:
        EvaluationError: there is no such challenger, it is the champion, the champion is not who was expected, or
            they know other classes.
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
    champion, asked = _model(versions.champion(connection)), _read_model(connection, challenger)
    expected = versions.find(connection, expected)["version"] if expected else None
    if expected and expected != champion.version:
        raise EvaluationError(
            f"the champion is {champion.version}, not {expected}: look at what changed, and ask again"
        )
    if champion.version == asked.version:
        raise EvaluationError(f"version {challenger} is the champion already")
    if sorted(champion.classes) != sorted(asked.classes):
        raise EvaluationError("the challenger knows other classes than the champion: their answers cannot be compared")
    holdout, window = (datasets.latest(connection, kind) for kind in ("holdout", "window"))
    return GatePlan(
        gate_id=run_id,
        champion=champion.version,
        challenger=asked.version,
        holdout=holdout.dataset_id if holdout else None,
        window=window.dataset_id if window else None,
        requested_by=asked_by,
    )


def infra_validate_request(pinned: GatePlan) -> contract.InfraValidateRequest:
    """The request to try both models in the real runner."""
    config, case = settings.get(), _case(pinned)
    return contract.InfraValidateRequest(
        shard_id=case.challenger.version,
        champion=case.champion.ref,
        challenger=case.challenger.ref,
        rounds=ROUNDS,
        batch_size=config.classify_batch_size,
        threads=config.cores,
        device=_device(config),
    )


def evaluations(pinned: GatePlan, validated: SealedAttempt) -> list[contract.EvaluateRequest]:
    """The requests to answer each set with each model; none where the challenger did not load."""
    config, case = settings.get(), _case(pinned)
    if not _read_infra_validation(config, case, pinned.gate_id, validated).loaded:
        return []
    at_once = max(1, min(len(SIDES) * len(case.sets), config.at_once))
    return [
        contract.EvaluateRequest(
            bundle=model.ref,
            shards=part.shards,
            labels=part.labels,
            batch_size=config.classify_batch_size,
            threads=max(1, config.cores // at_once),
            device=_device(config),
            shard_id=f"{name}-{side}",
        )
        for name, part in case.sets.items()
        for side, model in case.models.items()
    ]


def evaluate_gate(pinned: GatePlan, validated: SealedAttempt, evaluated: Iterable[SealedAttempt]) -> HeldGate:
    """Examine, write the report, record the gate. A run holds one gate: asked again, it answers with that.

    Raises:
        EvaluationError: what was evaluated is not what was asked for.
        contract.NoResult: files of an attempt are missing or altered.
    """
    run_id = pinned.gate_id
    config, case = settings.get(), _case(pinned)
    with ledger.connect("gate") as connection:
        if not ledger.fetch(connection, "select_gate", {"gate_id": run_id}):
            _record(connection, config, run_id, case, validated, evaluated, pinned.requested_by)
    return gate_result(run_id)


def gate_result(run_id: str) -> HeldGate:
    """The gate of a run of promote_model, as the ledger has it.

    Raises:
        EvaluationError: none was held.
    """
    config = settings.get()
    with ledger.connect("gate") as connection:
        found = ledger.fetch(connection, "select_gate", {"gate_id": run_id})
        if not found:
            raise EvaluationError(f"the ledger has no gate of run {run_id}: clear the task that holds it")
        (row,) = found
        checks = ledger.fetch(connection, "select_gate_results", {"gate_id": run_id})
    page = config.store / row["folder"] / PAGE
    log.info("the gate's outcome: %s. %s The report: %s", row["outcome"], row["sentence"], page)
    listed = "\n".join(f"- **{check['check_name']}** ({check['outcome']}): {check['sentence']}" for check in checks)
    body = f"{row['sentence']}\n\n{listed}\n\nRequested by {row['requested_by']}. The report: `{page}`"
    told = {name: row[name] for name in ("gate_id", "outcome", "sentence", "champion", "challenger")}
    return HeldGate(**told, page=str(page), body=body)


def approval_request(run_id: str) -> tuple[str, str]:
    """What an approver is asked about a gate: a line, and a body in Markdown."""
    gate_held = gate_result(run_id)
    return f"Shall {gate_held.challenger[:12]} be champion?", gate_held.body


def _record(
    connection: ledger.Connection,
    config: settings.Settings,
    run_id: str,
    case: Case,
    validated: SealedAttempt,
    evaluated: Iterable[SealedAttempt],
    requested_by: str,
) -> None:
    now, rules = datetime.datetime.now(datetime.UTC), _rules(config)
    answers = _read_answers(config, case, run_id, evaluated)
    sets = {name: _labelled_set(connection, config, case, part, answers) for name, part in case.sets.items()}
    validation = _infra_validation(config, case, _read_infra_validation(config, case, run_id, validated), answers)
    held = gate.examine(case.champion.classes, sets.get("holdout"), sets.get("window"), validation, rules)
    report = dataclasses.asdict(held) | {"champion": case.champion.version, "challenger": case.challenger.version}
    report |= {"rules": dataclasses.asdict(rules), "requested_by": requested_by, "made_at": f"{now:%Y-%m-%d %H:%M} UTC"}
    folder = f"gates/{config.run_folder(run_id).name}"
    page = gate_page.render(report, _shown(connection, config, case, held))
    _write(config.store / folder, {REPORT: json.dumps(report, indent=1, default=_jsonable), PAGE: page})
    row: dict[str, Any] = {
        "gate_id": run_id,
        "challenger": case.challenger.version,
        "champion": case.champion.version,
        "holdout_set": case.holdout and case.holdout.dataset_id,
        "window_set": case.window and case.window.dataset_id,
        "checks": len(held.checks),
        "outcome": held.outcome,
        "sentence": held.sentence,
        "rules": Jsonb(dataclasses.asdict(rules)),
        "folder": folder,
        "html_sha256": hashlib.sha256(page.encode()).hexdigest(),
        "requested_by": requested_by,
        "approvers": list(config.approver_ids),
        "answer_by": now + datetime.timedelta(hours=config.approval_hours) + GRACE,
    }
    if ledger.execute(connection, "insert_gate", row):
        results = [_result(run_id, check) for check in held.checks]
        ledger.copy_rows(connection, "gate_results", GateResult._fields, results)


def _shown(
    connection: ledger.Connection, config: settings.Settings, case: Case, held: gate.Gate
) -> dict[str, gate_page.Image]:
    """By id, what a person sees of each image that only the champion has right: its file's name, and a png."""
    compared = {name: getattr(held, name) for name in case.sets}
    lost = {name: [one.image for one in part.lost] for name, part in compared.items() if part}
    ids = [image for images in lost.values() for image in images]
    names = {row["image_id"]: row["name"] for row in ledger.fetch(connection, "select_image_names", {"image_ids": ids})}
    size = thumbnails.image_size(config.store, case.champion.ref) if ids else (0, 0)
    return {
        image: gate_page.Image(names.get(image), png)
        for name, images in lost.items()
        for image, png in thumbnails.of_shards(config.store, case.sets[name].shards, size, images).items()
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


class _Found(NamedTuple):
    """What a model answered: images, and probabilities [images, classes] in the champion's order of classes."""

    images: Sequence[str]
    probabilities: NDArray[np.floating[Any]]

    def rows(self, images: Iterable[str]) -> NDArray[np.floating[Any]]:
        """Of these images, in this order."""
        place = {image: number for number, image in enumerate(self.images)}
        return self.probabilities[[place[image] for image in images]]


Found = Mapping[tuple[str, str], _Found]  # by dataset and side


def _read_answers(config: settings.Settings, case: Case, run_id: str, evaluated: Iterable[SealedAttempt]) -> Found:
    """All that was asked for, or nothing.

    Raises:
        EvaluationError: some is missing, or something else was evaluated.
    """
    sides = {model.version: side for side, model in case.models.items()}
    most = max((part.images for part in case.sets.values()), default=0)
    found: dict[tuple[str, str], _Found] = {}
    for attempt in evaluated:
        folder, _ = attempts.of_run(config, run_id, attempt, "evaluate")
        request = contract.read_request("evaluate", folder / contract.REQUEST_FILE)
        assert isinstance(request, contract.EvaluateRequest)
        side = sides.get(request.bundle.version)
        if side is None:
            raise EvaluationError(f"{folder} evaluated version {request.bundle.version}, which this gate is not about")
        columns = tables.among(contract.PREDICTION_COLUMNS, "image_id", "probabilities")
        table = tables.read(folder / contract.PREDICTIONS_FILE, columns, most=most)
        classes = case.models[side].classes
        probabilities = np.asarray(table["probabilities"].combine_chunks().flatten()).reshape(-1, len(classes))
        order = [classes.index(name) for name in case.champion.classes]
        found[request.labels.sha256, side] = _Found(table["image_id"].to_pylist(), probabilities[:, order])
    asked = {(part.dataset_id, side) for part in case.sets.values() for side in SIDES}
    if found and found.keys() != asked:
        raise EvaluationError("what was evaluated is not what was asked for: clear the task that plans the evaluations")
    return found


def _labelled_set(
    connection: ledger.Connection, config: settings.Settings, case: Case, part: Dataset, answers: Found
) -> LabelledSet | None:
    if not answers:
        return None
    labels = datasets.labels(config.store, part)
    images, classes = list(labels), case.champion.classes
    if unknown := sorted(set(labels.values()) - set(classes)):
        raise EvaluationError(
            f"{part.kind} set {part.dataset_id[:12]} has classes that the models lack: {', '.join(unknown)}"
        )
    sides = {side: answers[part.dataset_id, side].rows(images) for side in SIDES}
    champion, challenger = (Answers(sides[side].argmax(axis=1), sides[side]) for side in SIDES)
    truth = np.array([classes.index(label) for label in labels.values()], np.int64)
    return LabelledSet(images, truth, champion, challenger, _slices(connection, config, part, labels))


def _slices(
    connection: ledger.Connection, config: settings.Settings, part: Dataset, labels: Mapping[str, str]
) -> dict[str, NDArray[np.bool_]]:
    """By brightness; of images that landed, by the drop, by the source, where there are several, and by who labelled
    them; of the window, by class, since checks of their own look at the classes of the holdout only.
    """
    brightness = _brightness(config, part, labels)
    dark, bright = np.quantile(brightness, (1 / 3, 2 / 3))
    masks = {
        "darkest third": brightness <= dark,
        "middle third": (brightness > dark) & (brightness <= bright),
        "brightest third": brightness > bright,
    }
    period = periods.get()
    found = ledger.fetch(connection, "select_dataset_images", {"dataset_id": part.dataset_id})
    landed = {
        row["image_id"]: (period.write(row["drop_at"]), row["source"], row["labelled_by"] or "") for row in found
    }
    drops, sources, labellers = np.array([landed.get(image, ("", "", "")) for image in labels]).T
    masks |= {f"{period.noun} {drop}": drops == drop for drop in _most(drops[drops != ""], DROPS)}
    origins = _most(sources[drops != ""], SOURCES)
    if len(origins) > 1:
        masks |= {f"source {name}" if name else "no source": (sources == name) & (drops != "") for name in origins}
    for labeller in sorted(set(labellers.tolist()) - {""}):
        masks[f"labelled by {labeller}"] = labellers == labeller
    if part.kind == "window":
        truth = np.array(list(labels.values()))
        masks |= {f"class {name}": truth == name for name in sorted(set(labels.values()))}
    return masks


def _most(values: NDArray[np.str_], count: int) -> list[str]:
    """So many of the most frequent values, in their order."""
    names, counts = np.unique(values, return_counts=True)
    return sorted(names[np.argsort(-counts, kind="stable")][:count].tolist())


def _brightness(config: settings.Settings, part: Dataset, images: Iterable[str]) -> NDArray[np.floating[Any]]:
    found: dict[str, float] = {}
    for shard in part.shards:
        columns = tables.among(contract.SHARD_COLUMNS, "image_id", "brightness")
        table = tables.read(contract.store_path(config.store, shard.path), columns, images=list(images))
        found |= zip(table["image_id"].to_pylist(), table["brightness"].to_pylist(), strict=True)
    return np.array([found[image] for image in images], np.float64)


def _infra_validation(
    config: settings.Settings, case: Case, report: contract.InfraValidationReport, answers: Found
) -> InfraValidation:
    expected, found, detail = _golden(config, case, answers)
    return InfraValidation(
        loaded=report.loaded and not detail,
        champion_seconds=np.array(report.champion_seconds, np.float64),
        challenger_seconds=np.array(report.challenger_seconds, np.float64),
        golden_expected=expected,
        golden_found=found,
        detail=report.detail or detail,
    )


def _golden(
    config: settings.Settings, case: Case, answers: Found
) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]], str]:
    """Probabilities that the challenger's bundle says it gives for images of the holdout, those that it gave, and what
    is wrong with the bundle. Golden images are those of its reference profile: it was measured on the holdout.
    """
    none = np.empty((0, len(case.champion.classes)))
    path = contract.store_path(config.store, case.challenger.bundle) / contract.REFERENCE_FILE
    if not case.holdout or not answers or not path.is_file():
        return none, none, ""
    given = answers[case.holdout.dataset_id, "challenger"]
    columns = tables.among(contract.PREDICTION_COLUMNS, "image_id", "label", "probabilities")
    table = tables.read(path, columns, images=given.images).slice(0, GOLDEN)
    classes = case.challenger.classes
    if not len(table):
        return none, none, ""
    probabilities = np.array(table["probabilities"].to_pylist(), np.float64)
    if probabilities.shape[1] != len(classes):
        return none, none, "its reference profile has another number of classes"
    if [classes[best] for best in probabilities.argmax(axis=1)] != table["label"].to_pylist():
        return none, none, "its classes are in another order than when it was measured"
    order = [classes.index(name) for name in case.champion.classes]
    return probabilities[:, order], given.rows(table["image_id"].to_pylist()), ""


def _read_infra_validation(
    config: settings.Settings, case: Case, run_id: str, validated: SealedAttempt
) -> contract.InfraValidationReport:
    """
    Raises:
        EvaluationError: others than these two were validated.
    """
    folder, _ = attempts.of_run(config, run_id, validated, "infra_validate")
    request = contract.read_request("infra_validate", folder / contract.REQUEST_FILE)
    assert isinstance(request, contract.InfraValidateRequest)
    if (request.champion, request.challenger) != (case.champion.ref, case.challenger.ref):
        raise EvaluationError(f"{folder} validated other versions than this gate is about: clear the task that plans")
    try:
        return contract.InfraValidationReport.from_json(contract.read_file(folder / contract.INFRA_VALIDATION_FILE))
    except (OSError, contract.BadRequest) as error:
        raise contract.NoResult(
            f"{folder / contract.INFRA_VALIDATION_FILE} cannot be read ({error}): run the infra validation again"
        ) from error


def _case(pinned: GatePlan) -> Case:
    with ledger.connect("gate") as connection:
        champion, challenger = (_read_model(connection, version) for version in (pinned.champion, pinned.challenger))
        holdout, window = (datasets.read(connection, one) if one else None for one in (pinned.holdout, pinned.window))
    return Case(champion, challenger, holdout, window)


def _read_model(connection: ledger.Connection, version: str) -> Model:
    return _model(versions.find(connection, version))


def _model(row: Mapping[str, Any]) -> Model:
    return Model(row["version"], row["bundle"], tuple(row["classes"]))


def _rules(config: settings.Settings) -> Rules:
    return Rules(
        floor=config.gate_floor,
        holdout_margin=config.gate_holdout_margin,
        window_rule=cast(Literal["superior", "non-inferior"], config.gate_window_rule),
        window_margin=config.gate_window_margin,
        class_floor=config.gate_class_floor,
        latency_ratio=config.gate_latency_ratio,
    )


def _device(config: settings.Settings) -> Literal["cpu", "gpu"]:
    return cast(Literal["cpu", "gpu"], config.device)


def _jsonable(value: Any) -> Any:
    """numpy's numbers, and arrays of them."""
    return value.tolist()


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    """Each file whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        contract.write_whole(folder / name, text.encode())
