"""Windows of real predictions in a real ledger and store. The champion's reference profile holds predictions of real
images: one half of it is the reference of a registered bundle, windows are drawn from the other.
"""

import dataclasses
import datetime
import functools
import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import ledger_rows as seeding
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import strandline_contract as contract
from strandline import ledger, settings
from strandline.attempts import SealedAttempt
from strandline.ingest import load as predictions
from strandline.models import registry

BUNDLE = settings.REPOSITORY / "models" / "cifar_resnet20_v1"
CLASSES = json.loads((BUNDLE / contract.CLASSES_FILE).read_bytes())
HOUR = datetime.timedelta(hours=1)
FIRST = datetime.datetime(2026, 11, 20, 0, tzinfo=datetime.UTC)
SIDE = 32  # of the images, pixels

Change = Callable[[dict[str, Any]], dict[str, Any]]


@functools.cache
def halves() -> tuple[pa.Table, pa.Table]:
    """The reference, and the source of windows."""
    profile = pq.read_table(BUNDLE / contract.REFERENCE_FILE)
    order = np.random.default_rng(0).permutation(len(profile))
    return tuple(profile.take(part) for part in np.split(order, 2))


def register(folder: Path, **changes: Any) -> str:
    """The champion with half of its reference profile; `changes` are to its files, None takes one out."""
    bundle = folder / "bundle"
    shutil.copytree(BUNDLE, bundle)
    pq.write_table(halves()[0], bundle / contract.REFERENCE_FILE)
    for name, content in changes.items():
        (bundle / name).unlink()
        if content is not None:
            (bundle / name).write_bytes(content)
    manifest = json.loads((bundle / contract.BUNDLE_MANIFEST).read_bytes())
    manifest["files"] = {
        path.name: {"sha256": contract.sha256_file(path), "bytes": path.stat().st_size}
        for path in sorted(bundle.iterdir())
        if path.name != contract.BUNDLE_MANIFEST
    }
    contract.write_json(bundle / contract.BUNDLE_MANIFEST, manifest)
    version = registry.register(bundle, "tester")
    registry.install_first(version, "tester")
    return version


def worse(row: dict[str, Any]) -> dict[str, Any]:
    """As bad images do: the model is unsure, embeddings shrink, and the image is dark."""
    raised = np.array(row["probabilities"]) ** 0.25
    probabilities = (raised / raised.sum()).astype(np.float32)
    changed = {"probabilities": probabilities.tolist(), "confidence": float(probabilities.max())}
    return (
        row | changed | {"embedding": [0.8 * value for value in row["embedding"]], "brightness": row["brightness"] / 2}
    )


def rows(count: int, seed: int = 0, change: Change | None = None, label: str | None = None) -> list[dict[str, Any]]:
    """Random rows of the source, all predicted as `label` if one is given."""
    source = halves()[1]
    if label:
        source = source.filter(pc.equal(source["label"], label))
    order = np.random.default_rng(seed).permutation(len(source))[:count]
    return [change(row) if change else row for row in source.take(order).to_pylist()]


@dataclasses.dataclass(frozen=True)
class Hour(seeding.Run):
    """A run over an hour of these predictions, each of an image of its own. `truth` names the folder of each file."""

    hour: datetime.datetime = FIRST
    rows: Sequence[dict[str, Any]] = ()
    truth: Sequence[str | None] = ()

    def row(self, **changes: Any) -> dict[str, Any]:
        return super().row(**{"interval_start": self.hour, "interval_end": self.hour + HOUR} | changes)

    def entries(self) -> list[ledger.ListedEntry]:
        labels = dict(zip((file.name for file in self.files), self.truth, strict=True))
        listed = zip(self.files, super().entries(), strict=True)
        return [entry._replace(path_label=labels[file.name]) for file, entry in listed]

    def write_outcomes(self) -> None:
        super().write_outcomes()
        path = settings.get().run_folder(self.run_id) / "validation" / contract.OUTCOMES_FILE
        table = pq.read_table(path)
        for name in ("bytes", *contract.IMAGE_STATISTICS):
            column = table.schema.get_field_index(name)
            # The profile that rows are drawn from may be older than a statistic.
            values = pa.array([row.get(name, 0.5) for row in self.rows], table.schema.field(name).type)
            table = table.set_column(column, name, values)
        pq.write_table(table, path)

    def classify(self, failing: Collection[str] = (), shift: float = 0.0) -> list[SealedAttempt]:
        predicted = []
        for file, row in zip(self.files, self.rows, strict=True):
            fields = {name: row[name] for name in ("label", "confidence", "probabilities", "embedding")}
            predicted.append({"image_id": file.image_id, "failure": None} | fields)
        if not self.files:
            return []
        (shard_id,) = self.shards()
        images = [row["image_id"] for row in predicted]
        pixels = {image: hashlib.shake_128(image.encode()).digest(SIDE * SIDE * 3) for image in images}
        return [seeding.write_attempt(self, shard_id, predicted, pixels)]


def ingest(
    version: str,
    hour: datetime.datetime,
    predicted: Sequence[dict[str, Any]],
    truth: str | None = None,
    run_id: str | None = None,
    kind: str = "scheduled",
    late: int = 0,
    sources: Sequence[str] = ("",),
) -> str:
    """Load an hour of predictions and close its books; the run's id.

    Args:
        truth: the label of all; `same` stands for the predicted ones.
        late: so many of the files landed an hour earlier.
        sources: of the files, in turn.
    """
    run_id = run_id or f"run of {hour:%Y-%m-%dT%H}"
    files = [
        seeding.File(
            f"{hour:%dT%H}-{number:05}.jpg",
            content=f"{hour} {number}",
            drop_at=hour - HOUR if number < late else hour,
            shard=f"shard of {run_id}",
            source=sources[number % len(sources)],
        )
        for number in range(len(predicted))
    ]
    labels = [row["label"] if truth == "same" else truth for row in predicted]
    run = Hour(run_id, version, files, kind, hour, predicted, labels)
    predictions.load(run_id, run.ready())
    ledger.close_run(run_id)
    return run_id
