"""Training: a frozen set of labelled images, a challenger made of the champion's weights, and where it came from.

A training set has the newest labelled images of the ledger and, beside them, images that the champion first learnt
from, so that nothing is forgotten. The newest labelled drops are kept apart, for the gate: whole drops, because images
of one drop resemble each other, and a challenger that had learnt from half of them would look better on the other half
than on the drops to come, which are what it is for.
"""

import dataclasses
import datetime
import hashlib
import logging
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import strandline_contract as contract
from strandline import attempts, ledger, periods, revision, settings
from strandline.attempts import SealedAttempt
from strandline.errors import PermanentError
from strandline.models import bundles, datasets, packing, runtimes, versions
from strandline.models.datasets import Dataset

log = logging.getLogger(__name__)

VALIDATION_SHARE = 0.1
PATIENCE = 5  # epochs
CORRUPTED_IMAGES = 500  # of the holdout, on which a challenger's robustness is measured as well
PROGRAM = "report_drift"  # that asks, if nobody does
WOKEN = "asset_triggered"  # as Airflow calls a run that no person has triggered

Row = tuple[str, str]  # image id, label


class TrainingError(PermanentError):
    """A challenger cannot be trained and another try cannot help; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class RetrainingRequest:
    """Who asks for a challenger, and why; `report_id` is the drift report that did. None stands for the settings.

    Raises:
        TrainingError: no reason is given.
    """

    run_id: str
    by: str
    reason: str
    report_id: int | None = None
    epochs: int | None = None
    minutes: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise TrainingError("why should there be another model? Trigger this DAG again with a reason")

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> Self | None:
        """What an Airflow task's context asks for. A run that an asset's update has woken looks into the ledger for the
        verdict that asks, whatever the update says; None if none does. Else a person asks, by Airflow's own record.
        """
        params, run = context["params"], context["dag_run"]
        chosen = {"run_id": context["run_id"], **{name: params[name] for name in ("epochs", "minutes", "seed")}}
        if run.run_type != WOKEN:
            return cls(by=run.triggering_user_name or "unknown", reason=params["reason"] or "", **chosen)
        with ledger.connect("training") as connection:
            found = ledger.fetch(connection, "select_retraining_request")
        if not found:
            return None
        return cls(by=PROGRAM, reason=found[0]["sentence"], report_id=found[0]["report_id"], **chosen)


@dataclasses.dataclass(frozen=True)
class TrainingPlan(contract.Message):
    """What a run of retrain_model is about, as the ledger has it: `parent` is a version, the sets are dataset ids."""

    parent: str
    training_set: str
    holdout: str
    recent_set: str
    asked_by: str
    reason: str
    report_id: int | None
    run_id: str


@dataclasses.dataclass(frozen=True)
class Holdout(contract.Message):
    """The images to measure on."""

    labels: contract.FileRef
    shards: tuple[contract.FileRef, ...]


@dataclasses.dataclass(frozen=True)
class Planned(contract.Message):
    """All that the steps which run a vision command need: they do without the ledger."""

    plan: TrainingPlan
    train: contract.TrainRequest
    holdout: Holdout


def plan(asked: RetrainingRequest) -> Planned:
    """Freeze what a challenger learns from, and what the gate will test it on; the ledger keeps what was planned.

    Raises:
        TrainingError: the champion was imported, there is no holdout or nothing to rehearse, or too few labels.
        NoChampion: there is none to start from.
    """
    config = settings.get()
    with ledger.connect("training") as connection:
        ledger.execute(connection, "lock_ledger")
        champion = versions.champion(connection)
        wanted = _check_trainable(config, champion)
        holdout = _latest(connection, config, "holdout", champion, wanted)
        pool = {
            "classes": champion["classes"],
            "versions": packing.versions_of(connection, config.store, wanted.resize_rule()),
        }
        recent = _reserve(connection, config, asked, pool)
        training = _choose(connection, config, asked, champion, wanted, pool, recent)
        training_plan = TrainingPlan(
            parent=champion["version"],
            training_set=training.dataset_id,
            holdout=holdout.dataset_id,
            recent_set=recent.dataset_id,
            asked_by=asked.by,
            reason=asked.reason,
            report_id=asked.report_id,
            run_id=asked.run_id,
        )
        ledger.execute(connection, "insert_training", training_plan.to_dict())
    log.info("training set %s: %d images, %s", training.dataset_id[:12], training.images, training.rule["images"])
    log.info("kept for the gate: %d images that landed %s", recent.images, recent.rule["landed"])
    request = _request(config, asked, champion, wanted, training)
    return Planned(training_plan, request, Holdout(holdout.labels, holdout.shards))


def _check_trainable(config: settings.Settings, champion: Mapping[str, Any]) -> contract.Preprocessing:
    """What the champion wants of its images."""
    bundle = contract.store_path(config.store, champion["bundle"])
    try:
        manifest, wanted = bundles.verify(bundle), bundles.preprocessing(bundle, champion["version"])
    except bundles.BundleError as error:
        raise TrainingError(f"the champion's bundle is gone or altered ({error}): register it again") from error
    if contract.WEIGHTS_FILE not in manifest.files:
        raise TrainingError(
            f"the champion {champion['name']} was imported and has no {contract.WEIGHTS_FILE} that a training could"
            " start from: train its successor where it was made, and import that (docs/how-to/own-model.md)"
        )
    return wanted


def planned(run_id: str) -> TrainingPlan:
    """What a run of retrain_model is about, as the ledger has it.

    Raises:
        TrainingError: it was not planned.
    """
    with ledger.connect("training") as connection:
        found = ledger.fetch(connection, "select_training", {"run_id": run_id})
    if not found:
        raise TrainingError(f"the ledger has no training of run {run_id}: clear the task that plans")
    return TrainingPlan(**found[0])


def evaluation(planned: TrainingPlan, holdout: Holdout, trained: SealedAttempt) -> contract.EvaluateRequest:
    """The request to measure what was trained on the holdout, in f32: that takes no proof, and nobody has any yet."""
    config = settings.get()
    return contract.EvaluateRequest(
        bundle=_trained(config, planned, trained)[0],
        shards=holdout.shards,
        labels=holdout.labels,
        runtime=dataclasses.replace(config.vision.runtime(), precision="f32"),
        shard_id=planned.holdout,
        corrupted_images=CORRUPTED_IMAGES,
    )


def packaging(planned: TrainingPlan, trained: SealedAttempt, evaluated: SealedAttempt) -> contract.PackageRequest:
    """The request to seal what was trained and measured, with its learning curves and its lineage."""
    config = settings.get()
    bundle, learnt = _trained(config, planned, trained)
    request, measured = _evaluated(config, planned, evaluated, bundle)
    parameters = contract.parse_json(
        contract.read_file(contract.store_path(config.store, bundle.path) / contract.TRAINING_FILE)
    )
    lineage = contract.Lineage(
        **planned.to_dict(),
        code_revision=revision.of_code(),
        image_digest=trained.image,
        versions=parameters.pop("versions"),
        parameters=parameters,
    )
    return contract.PackageRequest(
        bundle=bundle,
        metrics=_output(evaluated, measured, contract.METRICS_FILE),
        predictions=_output(evaluated, measured, contract.PREDICTIONS_FILE),
        shards=request.shards,
        labels=request.labels,
        made_by="retrain_model",
        curves=_output(trained, learnt, contract.CURVES_FILE),
        lineage=lineage,
        shard_id=planned.training_set,
    )


def parity(holdout: Holdout, packaged: SealedAttempt) -> contract.ParityRequest | None:
    """The request to compare the finished bundle, as the settings would have it computed, with the reference. None in
    f32, for which golden images are proof enough.
    """
    config = settings.get()
    runtime = config.vision.runtime()
    if runtime.precision == "f32":
        return None
    _, result = attempts.read(config.store, packaged, "package")
    return contract.ParityRequest(
        bundle=_bundle(packaged, result),
        shards=holdout.shards,
        labels=holdout.labels,
        reference=runtimes.reference(config.vision, has_weights=True),
        runtimes=(runtime,),
    )


def packaged_bundle(
    planned: TrainingPlan, trained: SealedAttempt, evaluated: SealedAttempt, packaged: SealedAttempt
) -> Path:
    """The folder of the finished bundle, once it is proven to pack what the ledger says was planned: what the tasks
    between have told each other may have been altered.

    Raises:
        contract.NoResult: files are missing or altered, or it is of another plan.
    """
    config = settings.get()
    with ledger.connect("training") as connection:
        holdout = datasets.read(connection, planned.holdout)
    folder, result = attempts.of_run(config, planned.run_id, packaged, "package")
    asked = contract.read_request("package", folder / contract.REQUEST_FILE)
    assert isinstance(asked, contract.PackageRequest)
    expected = packaging(planned, trained, evaluated)
    if asked.lineage and expected.lineage:  # the code that asked may be of another revision than this
        lineage = dataclasses.replace(expected.lineage, code_revision=asked.lineage.code_revision)
        expected = dataclasses.replace(expected, lineage=lineage)
    if asked != expected or asked.shards != holdout.shards:
        raise contract.NoResult(f"{folder} packs something else than was planned: clear `plan` and all after it")
    return contract.store_path(config.store, _bundle(packaged, result).path)


def _trained(
    config: settings.Settings, planned: TrainingPlan, trained: SealedAttempt
) -> tuple[contract.BundleRef, contract.Result]:
    """What was trained, on the planned set and from the planned weights, and the result of the attempt.

    Raises:
        contract.NoResult: it was not.
    """
    folder, result = attempts.of_run(config, planned.run_id, trained, "train")
    request = contract.read_request("train", folder / contract.REQUEST_FILE)
    assert isinstance(request, contract.TrainRequest)
    start = request.start.version if request.start else None
    if (request.labels.sha256, start) != (planned.training_set, planned.parent):
        raise contract.NoResult(f"{folder} trained on another set, or from other weights: clear the task that plans")
    return _bundle(trained, result), result


def _evaluated(
    config: settings.Settings, planned: TrainingPlan, evaluated: SealedAttempt, bundle: contract.BundleRef
) -> tuple[contract.EvaluateRequest, contract.Result]:
    """What was asked of the attempt that measured this bundle on the planned holdout, and its result.

    Raises:
        contract.NoResult: it was not.
    """
    folder, result = attempts.of_run(config, planned.run_id, evaluated, "evaluate")
    request = contract.read_request("evaluate", folder / contract.REQUEST_FILE)
    assert isinstance(request, contract.EvaluateRequest)
    if (request.labels.sha256, request.bundle) != (planned.holdout, bundle):
        raise contract.NoResult(f"{folder} measured another model, or on another set: clear the task that evaluates")
    return request, result


def balance(
    new: Sequence[Row],
    original: Sequence[Row],
    classes: Sequence[str],
    most: int,
    rehearsal_share: float,
    most_of_median: float,
) -> tuple[list[Row], list[Row]]:
    """What is learnt from: of the new images, and of the original ones.

    A class gets no more than `most_of_median` times as many new images as the median class, and no more than fit
    beside the rehearsal into `most` images; those that come first. Original images then fill up all classes to one
    size, and are at least `rehearsal_share` of each class, as far as there are so many.
    """
    found = Counter(label for _, label in new)
    limit = max(1, int(most_of_median * statistics.median(found[name] for name in classes)))
    limit = min(limit, int((1 - rehearsal_share) * most / len(classes)))
    taken = _first(new, dict.fromkeys(classes, limit))
    counts = Counter(label for _, label in taken)
    size = round(max(counts.values(), default=0) / (1 - rehearsal_share))
    known = {image for image, _ in taken}
    rehearsed = [row for row in original if row[0] not in known]
    return taken, _first(rehearsed, {name: size - counts[name] for name in classes} if rehearsal_share else {})


def _first(rows: Iterable[Row], limits: Mapping[str, int]) -> list[Row]:
    """So many rows of each label."""
    counts: Counter[str] = Counter()
    taken = []
    for image, label in rows:
        if counts[label] < limits.get(label, 0):
            counts[label] += 1
            taken.append((image, label))
    return taken


def _latest(
    connection: ledger.Connection,
    config: settings.Settings,
    kind: datasets.Kind,
    champion: Mapping[str, Any],
    wanted: contract.Preprocessing,
) -> Dataset:
    found = datasets.latest(connection, kind, champion["classes"])
    if not found:
        raise TrainingError(
            f"there is no {kind} set of labelled images for {champion['name']}: `make training-sets` freezes those of"
            " the first champion; docs/retraining.md says how to freeze your own"
        )
    paths = [contract.store_path(config.store, shard.path) for shard in found.shards]
    if not all(packing.is_packed_for(path, wanted.resize_rule()) for path in paths if path.is_file()):
        raise TrainingError(
            f"the {kind} set {found.dataset_id[:12]} was packed for a model of other pixels than {champion['name']}:"
            " freeze another one for it, docs/retraining.md says how"
        )
    return found


def _reserve(
    connection: ledger.Connection, config: settings.Settings, asked: RetrainingRequest, pool: Mapping[str, Any]
) -> Dataset:
    """Freeze the recent set: of the labelled images that the request is about, those of the newest drops, as
    few as have `training.recent_images` or half of them, and never so many that too few are left to learn from.

    Args:
        pool: which labelled images there are: of these classes, packed for these versions.
    """
    since, noun = _asking_since(connection, config, asked), periods.get().noun
    drops = ledger.fetch(connection, "count_labelled_drops", pool)
    drops = [row for row in drops if since is None or row["drop_at"] >= since]
    usable = sum(row["usable"] for row in drops)
    span = f" from {_written(since)} on" if since else ""
    if usable < config.training.min_labels:
        raise TrainingError(
            f"there are {usable:,} labelled images{span}, and {config.training.min_labels:,} are needed: label"
            f" {config.training.min_labels - usable:,} more, or lower STRANDLINE_RETRAIN_MIN_LABELS"
        )
    wanted, needed = min(config.training.recent_images, usable // 2), config.training.min_labels // 2
    number = _drops_to_keep(drops, wanted, needed)
    first = drops[max(number, 1) - 1]["drop_at"]
    if not number:
        left = sum(row["learnable"] for row in drops[1:])
        raise TrainingError(
            f"the labelled images that landed from {_written(first)} on are kept for the gate; {left:,} are left to"
            f" learn from{span}, and {needed:,} are needed: label {needed - left:,} more of the {noun}s before"
        )
    if not any(row["testable"] for row in drops[:number]):
        raise TrainingError(
            f"models have learnt from all labelled images that landed from {_written(first)} on, so none can be kept"
            " for the gate: label images that landed since"
        )
    query = {**pool, "since": first}
    rows = ledger.fetch(connection, "select_testable_images", query)
    rule = {
        "landed": f"from {_written(first)} on",
        "since": first.isoformat(),
        "images": f"all labelled ones of these {noun}s that no model has learnt from",
        "drops": f"the newest whole {noun}s, as few as have {wanted} of them, or as leave {needed} to learn from",
    }
    return datasets.freeze(connection, config, "recent", _rows(rows), _shards(connection, config, rows), rule, asked.by)


def _drops_to_keep(drops: Sequence[Mapping[str, Any]], wanted: int, needed: int) -> int:
    """How many drops, the newest first: until `wanted` images are kept, while `needed` are left to learn from."""
    kept, left, number = 0, sum(row["learnable"] for row in drops), 0
    for row in drops:
        left -= row["learnable"]
        if kept >= wanted or left < needed:
            break
        kept += row["testable"]
        number += 1
    return number


def _asking_since(
    connection: ledger.Connection, config: settings.Settings, asked: RetrainingRequest
) -> datetime.datetime | None:
    """Where the windows begin that ask for a retraining; None if a person asks, who means all labelled images."""
    if asked.report_id is None:
        return None
    query = {"report_id": asked.report_id, "windows": config.drift.last_windows}
    (found,) = ledger.fetch(connection, "select_asking_since", query)
    if found["since"] is None:
        raise TrainingError(f"the ledger has no drift report {asked.report_id} that asks for a retraining")
    since: datetime.datetime = found["since"]
    return since


def _choose(
    connection: ledger.Connection,
    config: settings.Settings,
    asked: RetrainingRequest,
    champion: Mapping[str, Any],
    wanted: contract.Preprocessing,
    pool: Mapping[str, Any],
    recent: Dataset,
) -> Dataset:
    """Freeze the training set: what landed before the recent set, balanced and with rehearsal."""
    classes, most, share = champion["classes"], config.training.images, config.training.rehearsal_share
    before = datetime.datetime.fromisoformat(recent.rule["since"])
    query = {**pool, "before": before, "per_class": most}
    landed = ledger.fetch(connection, "select_learnable_images", query)
    original = _latest(connection, config, "original", champion, wanted) if share else None
    known = _by_hash(datasets.labels(config.store, original), asked.seed) if original else []
    new, rehearsed = balance(_rows(landed), known, classes, most, share, config.training.balance)
    taken = {image for image, _ in new}
    shards = _shards(connection, config, [row for row in landed if row["image_id"] in taken])
    rule = {
        "images": f"{len(new)} that landed, {len(rehearsed)} rehearsed",
        "landed": f"labelled, before {_written(before)}, in no holdout and no recent set; of each class the newest, at"
        f" most {config.training.balance:g} times as many as the median class has",
        "rehearsed": f"original set {original.dataset_id if original else None}: as many as make all classes equal, at"
        f" least {share:.0%} of each class, by SHA-256 of seed and image",
        "seed": asked.seed,
    }
    shards += original.shards if original and rehearsed else ()
    return datasets.freeze(connection, config, "training", new + rehearsed, shards, rule, asked.by)


def _by_hash(labels: Mapping[str, str], seed: int) -> list[Row]:
    """In a random order that a seed decides, on any machine."""
    return sorted(labels.items(), key=lambda row: hashlib.sha256(f"{seed} {row[0]}".encode()).digest())


def _rows(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    return [(row["image_id"], row["label"]) for row in rows]


def _shards(
    connection: ledger.Connection, config: settings.Settings, rows: Iterable[Mapping[str, Any]]
) -> tuple[contract.FileRef, ...]:
    """Those that the images were classified from."""
    try:
        return tuple(attempts.recorded_shards(connection, config.store, (row["folder"] for row in rows)))
    except contract.NoResult as error:
        raise TrainingError(f"the shards of labelled images are of no use: {error}") from error


def _request(
    config: settings.Settings,
    asked: RetrainingRequest,
    champion: Mapping[str, Any],
    wanted: contract.Preprocessing,
    training: Dataset,
) -> contract.TrainRequest:
    bundle = contract.store_path(config.store, champion["bundle"])
    return contract.TrainRequest(
        name=champion["name"],
        network=champion["network"],
        classes=tuple(champion["classes"]),
        shards=training.shards,
        labels=training.labels,
        **vars(wanted),
        epochs=asked.epochs or config.training.epochs,
        threads=config.vision.cores,
        seed=asked.seed,
        peak_lr=config.training.peak_lr,
        low_share=0.0,  # small crops teach the shapes that the champion knows already
        device=config.vision.training_device,
        start=contract.BundleRef(champion["bundle"], champion["version"]),
        seconds=60 * (asked.minutes or config.training.minutes),
        validation_share=VALIDATION_SHARE,
        patience=PATIENCE,
        weight_interpolation=config.training.weight_interpolation,
        shard_id=training.dataset_id,
        corruption=bundles.corruption(bundle, champion["version"]),  # or its successors would forget what it survives
    )


def _bundle(attempt: SealedAttempt, result: contract.Result) -> contract.BundleRef:
    """The bundle that an attempt wrote."""
    return contract.BundleRef(f"{attempt.folder}/{contract.BUNDLE_FOLDER}", result.versions["bundle"])


def _output(attempt: SealedAttempt, result: contract.Result, name: str) -> contract.FileRef:
    return contract.FileRef(f"{attempt.folder}/{name}", result.files[name])


def _written(moment: datetime.datetime | None) -> str:
    return periods.get().write(moment) if moment else ""
