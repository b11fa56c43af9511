"""What each model of a gate is asked: which images of a set, and from which shards.

The challenger is asked about images of its classes, the champion about those of classes that both have. A set's shards
were packed for one model; for one that wants other pixels its images are packed again, from their files: those of which
the file is gone are left out.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import strandline_contract as contract
from strandline import attempts, ledger, settings
from strandline.attempts import SealedAttempt
from strandline.errors import PermanentError
from strandline.models import bundles, datasets, packing, runtimes
from strandline.models.datasets import Dataset
from strandline.promotion.check import SetName

SIDES = ("champion", "challenger")


class EvaluationError(PermanentError):
    """No gate can be evaluated, and another try cannot help; the message says why."""


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
    recent: Dataset | None

    @property
    def sets(self) -> dict[SetName, Dataset]:
        both: dict[SetName, Dataset | None] = {"holdout": self.holdout, "recent": self.recent}
        return {name: part for name, part in both.items() if part}

    @property
    def models(self) -> dict[str, Model]:
        return dict(zip(SIDES, (self.champion, self.challenger), strict=True))

    @property
    def classes(self) -> tuple[str, ...]:
        """That answers are of: the champion's, in its order, and then those that the challenger alone has. The
        challenger's, if they share none: then the champion is not asked.
        """
        known = self.champion.classes if self.shared else ()
        return tuple(dict.fromkeys(known + self.challenger.classes))

    def known(self, side: str) -> tuple[str, ...]:
        """The classes of whose images a side is asked."""
        return self.shared if side == "champion" else self.challenger.classes

    @property
    def shared(self) -> tuple[str, ...]:
        """The classes that both have."""
        return tuple(name for name in self.champion.classes if name in self.challenger.classes)


def packings(
    connection: ledger.Connection, config: settings.Settings, case: Case, run_id: str
) -> dict[tuple[SetName, contract.ResizeRule], list[contract.PackRequest]]:
    """What has to be packed again before the models can answer, by set and rule: nothing if all shards fit."""
    rules, folder = _rules(config, case), config.run_folder(run_id) / "manifests"
    wanted: dict[tuple[SetName, contract.ResizeRule], list[contract.PackRequest]] = {}
    for name, part in case.sets.items():
        shards = [contract.store_path(config.store, shard.path) for shard in part.shards]
        for side in ("challenger", "champion"):  # in this order: the champion is asked about some of the same images
            key, images = (name, rules[side]), labels_of(config, part, case.known(side))
            fits = all(packing.is_packed_for(shard, rules[side]) for shard in shards)
            if images and not fits and key not in wanted:
                wanted[key] = packing.plan(connection, config, images, rules[side], f"{name}-{side}", folder)
    return wanted


def evaluations(
    connection: ledger.Connection, config: settings.Settings, case: Case, run_id: str, packed: Iterable[SealedAttempt]
) -> list[contract.EvaluateRequest]:
    """The requests to answer each set with each model.

    Args:
        packed: attempts at all that `packings` asks for.

    Raises:
        EvaluationError: something else was packed.
        UnprovedRuntime: one of them may not be computed as the settings say.
        contract.NoResult: files of an attempt are missing or altered.
    """
    rules, wanted = _rules(config, case), packings(connection, config, case, run_id)
    packed_again = _packed(config, run_id, wanted, packed)
    asked: dict[str, tuple[Model, tuple[contract.FileRef, ...], contract.FileRef]] = {}
    for name, part in case.sets.items():
        for side, model in case.models.items():
            labels, shards = labels_of(config, part, case.known(side)), part.shards
            if (name, rules[side]) in wanted:
                shards = tuple(packed_again[request.shard_id] for request in wanted[name, rules[side]])
                paths = (contract.store_path(config.store, shard.path) for shard in shards)
                there = {image for path in paths for image in packing.packed_images(path)}
                labels = {image: label for image, label in labels.items() if image in there}
            if labels:
                file = part.labels if len(labels) == part.images else _write_labels(config, run_id, labels)
                asked[f"{name}-{side}"] = (model, shards, file)
    computed = runtime(connection, config, case, max(1, min(len(asked), config.vision.max_parallel_tasks)))
    return [
        contract.EvaluateRequest(bundle=model.ref, shards=shards, labels=labels, runtime=computed, shard_id=id_)
        for id_, (model, shards, labels) in asked.items()
    ]


def runtime(connection: ledger.Connection, config: settings.Settings, case: Case, at_once: int = 1) -> contract.Runtime:
    """In which the challenger would run, and both are compared.

    Raises:
        UnprovedRuntime: one of them may not be computed as the settings say.
    """
    models = (model.version for model in case.models.values())
    return runtimes.proved(connection, config.vision.runtime(at_once), *models)


def labels_of(config: settings.Settings, part: Dataset, classes: Collection[str]) -> dict[str, str]:
    """The labels of the images of a set that are of these classes."""
    return {image: label for image, label in datasets.labels(config.store, part).items() if label in classes}


def _packed(
    config: settings.Settings,
    run_id: str,
    wanted: Mapping[Any, list[contract.PackRequest]],
    packed: Iterable[SealedAttempt],
) -> dict[str, contract.FileRef]:
    """The shard that came of each request, by its id."""
    requests = {request.shard_id: request for part in wanted.values() for request in part}
    found: dict[str, contract.FileRef] = {}
    for attempt in packed:
        folder, result = attempts.of_run(config, run_id, attempt, "pack")
        request = contract.read_request("pack", folder / contract.REQUEST_FILE)
        if requests.get(request.shard_id) != request:
            raise EvaluationError(f"{folder} packed something else than this gate needs: clear the task that plans it")
        path = str((folder / contract.SHARD_FILE).relative_to(config.store))
        found[request.shard_id] = contract.FileRef(path, result.files[contract.SHARD_FILE])
    if missing := requests.keys() - found.keys():
        raise EvaluationError(f"{', '.join(sorted(missing))} was not packed: clear the task that plans the packing")
    return found


def _rules(config: settings.Settings, case: Case) -> dict[str, contract.ResizeRule]:
    """What either model wants of its images.

    Raises:
        EvaluationError: its bundle is gone or altered.
    """
    try:
        return {
            side: bundles.preprocessing(contract.store_path(config.store, model.bundle), model.version).resize_rule()
            for side, model in case.models.items()
        }
    except bundles.BundleError as error:
        raise EvaluationError(f"a model of this gate is of no use: {error}") from error


def _write_labels(config: settings.Settings, run_id: str, labels: Mapping[str, str]) -> contract.FileRef:
    folder = config.run_folder(run_id).relative_to(config.store)
    return datasets.write_labels(config.store, f"{folder}/labels", sorted(labels.items()))
