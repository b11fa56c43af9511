"""Two model versions, sets to compare them on, and attempts at validating and evaluating them, as the vision commands
leave them.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ledger_rows import CLASSES, digest, write_table

import strandline_contract as contract
from strandline import ledger, settings
from strandline.attempts import SealedAttempt
from strandline.models import datasets, registry


def probabilities(labels: Sequence[int], classes: Sequence[str] = CLASSES) -> np.ndarray:
    """Of a model that is nine tenths sure of each."""
    rest = 0.1 / (len(classes) - 1)
    return np.where(np.arange(len(classes)) == np.array(labels)[:, None], 0.9, rest).astype(np.float32)


def make_version(
    name: str,
    reference: Mapping[str, int] | None = None,
    by: str = "trainer",
    measured: Sequence[str] = CLASSES,
    **files: Any,
) -> str:
    """A registered bundle, whole in the store.

    Args:
        reference: its reference profile: image to class.
        measured: the classes, in their order when that was measured.
        files: JSON files of the bundle, without their ending.
    """
    folder = settings.get().home / "made" / name
    folder.mkdir(parents=True)
    for file, content in ({"classes": list(CLASSES), "preprocessing": {"width": 4, "height": 4}} | files).items():
        contract.write_json(folder / f"{file}.json", content)
    (folder / contract.WEIGHTS_FILE).write_bytes(name.encode())
    if reference is not None:
        found = probabilities(list(reference.values()), measured)
        rows = [
            {"image_id": image, "label": measured[label], "probabilities": one.tolist()}
            for (image, label), one in zip(reference.items(), found, strict=True)
        ]
        write_table(folder / contract.REFERENCE_FILE, contract.PREDICTION_COLUMNS, rows)
    sealed = {path.name: {"sha256": contract.sha256_file(path)} for path in folder.iterdir()}
    contract.write_json(folder / contract.BUNDLE_MANIFEST, {"name": name, "network": "n", "files": sealed})
    return registry.register(folder, by)


def freeze(
    kind: datasets.Kind, count: int, classes: Sequence[str] = CLASSES
) -> tuple[datasets.Dataset, dict[str, int]]:
    """A set of images, with a shard in the store; and the true class of each image."""
    name = "-".join([kind, *(classes if classes != CLASSES else ())])
    truth = {digest(f"{name} {number}"): number % len(classes) for number in range(count)}
    store = settings.get().store
    path = store / "shards" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    brightness = np.arange(count, dtype=np.float32)
    pixels = [bytes(3 * 4 * 4)] * count
    pq.write_table(pa.table({"image_id": list(truth), "pixels": pixels, "brightness": brightness}), path)
    shards = [contract.FileRef(str(path.relative_to(store)), contract.sha256_file(path))]
    labels = [(image, classes[label]) for image, label in truth.items()]
    with ledger.connect("training") as connection:
        return datasets.freeze(connection, settings.get(), kind, labels, shards, {"images": "made"}, "tester"), truth


def validated(
    request: contract.InfraValidateRequest, loaded: bool = True, slower: float = 1.0, run_id: str = "run 1"
) -> SealedAttempt:
    """An attempt at validating both."""
    seconds = [0.001 + 0.00001 * (number % 3) for number in range(request.rounds)] if loaded else []
    report = {"loaded": loaded, "detail": "" if loaded else "it fell over", "device": "cpu", "versions": {}}
    report |= {"champion_seconds": seconds, "challenger_seconds": [slower * one for one in seconds]}
    folder = _attempt(run_id, "infra_validate", request)
    contract.write_json(
        folder / contract.INFRA_VALIDATION_FILE, contract.InfraValidationReport.from_dict(report).to_dict()
    )
    return _seal(folder, "infra_validate", contract.INFRA_VALIDATION_FILE)


def evaluated(
    request: contract.EvaluateRequest,
    answers: Mapping[str, int],
    run_id: str = "run 1",
    classes: Sequence[str] = CLASSES,
) -> SealedAttempt:
    """An attempt at evaluating: the class that the model gives to each image."""
    folder = _attempt(run_id, "evaluate", request)
    found = probabilities(list(answers.values()), classes)
    rows = [
        {"image_id": image, "label": classes[label], "confidence": float(one.max()), "probabilities": one.tolist()}
        for (image, label), one in zip(answers.items(), found, strict=True)
    ]
    write_table(folder / contract.PREDICTIONS_FILE, contract.PREDICTION_COLUMNS, rows)
    return _seal(folder, "evaluate", contract.PREDICTIONS_FILE)


def packed(request: contract.PackRequest, images: Sequence[str], run_id: str = "run 1") -> SealedAttempt:
    """An attempt at packing that made these images of its files."""
    folder = _attempt(run_id, "pack", request)
    pq.write_table(pa.table({"image_id": list(images)}), folder / contract.SHARD_FILE)
    return _seal(folder, "pack", contract.SHARD_FILE)


def wrong(truth: Mapping[str, int], share: float, start: int = 0) -> dict[str, int]:
    """Answers of which this share is wrong, from the image number `start` on."""
    bad = range(start, start + round(share * len(truth)))
    classes = len(CLASSES)
    return {
        image: (label + 1) % classes if number in bad else label for number, (image, label) in enumerate(truth.items())
    }


def _attempt(run_id: str, command: str, request: contract.Request) -> Path:
    folder = settings.get().run_folder(run_id) / command / digest(json.dumps(request.to_dict(), sort_keys=True))
    folder.mkdir(parents=True, exist_ok=True)
    contract.write_json(folder / contract.REQUEST_FILE, request.to_dict())
    return folder


def _seal(folder: Path, command: str, file: str) -> SealedAttempt:
    contract.write_result(folder, command, [file], {}, {}, {})
    sealed = contract.sha256_file(folder / contract.RESULT_FILE)
    return SealedAttempt("x", str(folder.relative_to(settings.get().store)), sealed)
