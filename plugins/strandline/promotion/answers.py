"""What the vision command answered about a challenger and the champion: checked against what was asked, and put into
the shapes that a gate is evaluated on. What is asked, and the gate itself, are in `evaluation`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import strandline_contract as contract
from strandline import attempts, ledger, periods, settings, tables
from strandline.attempts import SealedAttempt
from strandline.models import datasets
from strandline.models.datasets import Dataset
from strandline.promotion.asked import Case, EvaluationError
from strandline.promotion.check import InfraValidation, SetName
from strandline.promotion.comparison import Answers, LabelledSet, OwnSet

GOLDEN = 64  # images, at the most
DROPS = 24  # slices of the recent set, at the most: the drops that most images landed in
SOURCES = 24  # and the sources that most came from


class _Found(NamedTuple):
    """What a model answered: images, and probabilities [images, classes] of the classes of the case, in their order."""

    images: Sequence[str]
    probabilities: NDArray[np.floating[Any]]

    def rows(self, images: Iterable[str]) -> NDArray[np.floating[Any]]:
        """Of these images, in this order."""
        place = {image: number for number, image in enumerate(self.images)}
        return self.probabilities[[place[image] for image in images]]


Found = Mapping[tuple[str, str], _Found]  # by set and side


def read(
    config: settings.Settings,
    case: Case,
    run_id: str,
    asked: Iterable[contract.EvaluateRequest],
    evaluated: Iterable[SealedAttempt],
) -> Found:
    """All that was asked for, or nothing.

    Raises:
        EvaluationError: some is missing, or something else was evaluated.
    """
    sides = {model.version: side for side, model in case.models.items()}
    most = max((part.images for part in case.sets.values()), default=0)
    wanted = {request.shard_id: (request.bundle, request.shards, request.labels) for request in asked}
    found: dict[tuple[str, str], _Found] = {}
    for attempt in evaluated:
        folder, _ = attempts.of_run(config, run_id, attempt, "evaluate")
        request = contract.read_request("evaluate", folder / contract.REQUEST_FILE)
        assert isinstance(request, contract.EvaluateRequest)
        side = sides.get(request.bundle.version)
        if side is None:
            raise EvaluationError(f"{folder} evaluated version {request.bundle.version}, which this gate is not about")
        if wanted.get(request.shard_id) != (request.bundle, request.shards, request.labels):
            raise EvaluationError(f"{folder} is not what was asked for: clear the task that plans the evaluations")
        columns = tables.among(contract.PREDICTION_COLUMNS, "image_id", "probabilities")
        table = tables.read(folder / contract.PREDICTIONS_FILE, columns, most=most)
        classes = case.models[side].classes
        probabilities = np.asarray(table["probabilities"].combine_chunks().flatten()).reshape(-1, len(classes))
        answers = _Found(table["image_id"].to_pylist(), _in_order(probabilities, classes, case.classes))
        found[request.shard_id.rpartition("-")[0], side] = answers
    if found and len(found) != len(wanted):
        raise EvaluationError("what was evaluated is not what was asked for: clear the task that plans the evaluations")
    return found


def _in_order(
    probabilities: NDArray[np.floating[Any]], classes: Sequence[str], order: Sequence[str]
) -> NDArray[np.floating[Any]]:
    """Probabilities [n, classes] in another order of classes: 0 of one that is not among those."""
    found = np.zeros((len(probabilities), len(order)), probabilities.dtype)
    found[:, [order.index(name) for name in classes]] = probabilities
    return found


def labelled_set(
    connection: ledger.Connection, config: settings.Settings, case: Case, name: SetName, answers: Found
) -> LabelledSet | None:
    """What both answered, of the images of a set that are of a class that both have; None if there is none."""
    sides = [found for side in case.models if (found := answers.get((name, side)))]
    if len(sides) < len(case.models):
        return None
    part, there = case.sets[name], set(sides[0].images) & set(sides[1].images)
    labels = {image: label for image, label in datasets.labels(config.store, part).items() if image in there}
    labels = {image: label for image, label in labels.items() if label in case.shared}
    if not labels:
        return None
    champion, challenger = (_answers(found, labels) for found in sides)
    slices = _slices(connection, config, part, labels)
    return LabelledSet(list(labels), _truth(case, labels), champion, challenger, slices)


def own_set(config: settings.Settings, case: Case, answers: Found) -> OwnSet | None:
    """What the challenger answered of its holdout, whatever the champion knows of it."""
    if not case.holdout or not (found := answers.get(("holdout", "challenger"))):
        return None
    there = set(found.images)
    labels = {image: label for image, label in datasets.labels(config.store, case.holdout).items() if image in there}
    return OwnSet(_truth(case, labels), _answers(found, labels))


def _answers(found: _Found, images: Iterable[str]) -> Answers:
    rows = found.rows(images)
    return Answers(rows.argmax(axis=1), rows)


def _truth(case: Case, labels: Mapping[str, str]) -> NDArray[np.integer[Any]]:
    return np.array([case.classes.index(label) for label in labels.values()], np.int64)


def _slices(
    connection: ledger.Connection, config: settings.Settings, part: Dataset, labels: Mapping[str, str]
) -> dict[str, NDArray[np.bool_]]:
    """By brightness; of images that landed, by the drop, by the source, if there are several, and by who labelled
    them; of the recent set, by class, since checks of their own look at the classes of the holdout only.
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
    landed = {row["image_id"]: (period.write(row["drop_at"]), row["source"], row["labelled_by"] or "") for row in found}
    drops, sources, labellers = np.array([landed.get(image, ("", "", "")) for image in labels]).T
    masks |= {f"{period.noun} {drop}": drops == drop for drop in _most(drops[drops != ""], DROPS)}
    origins = _most(sources[drops != ""], SOURCES)
    if len(origins) > 1:
        masks |= {f"source {name}" if name else "no source": (sources == name) & (drops != "") for name in origins}
    for labeller in sorted(set(labellers.tolist()) - {""}):
        masks[f"labelled by {labeller}"] = labellers == labeller
    if part.kind == "recent":
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


def infra_validation(
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
    none = np.empty((0, len(case.classes)))
    path = contract.store_path(config.store, case.challenger.bundle) / contract.REFERENCE_FILE
    given = answers.get(("holdout", "challenger"))
    if given is None or not path.is_file():
        return none, none, ""
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
    return _in_order(probabilities, classes, case.classes), given.rows(table["image_id"].to_pylist()), ""


def read_infra_validation(
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
