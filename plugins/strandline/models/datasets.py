"""Datasets: labelled images, frozen. What models learn from, and what they are tested on.

A dataset is a Parquet file of image ids and labels in the store, known by its SHA-256, and the shards that have the
images. It is inserted once and never changed. No image is in a set of LEARNT kinds and in one of TESTED kinds.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from psycopg.types.json import Jsonb

import strandline_contract as contract
from strandline import ledger, settings, tables
from strandline.errors import PermanentError

Kind = Literal["original", "training", "holdout", "recent"]
LEARNT: tuple[Kind, ...] = ("original", "training")
TESTED: tuple[Kind, ...] = ("holdout", "recent")
FOLDER = "datasets"


class DatasetError(PermanentError):
    """A dataset cannot be frozen or read, and another try cannot help; the message says why."""


@dataclass(frozen=True)
class Dataset:
    """`rule` says, for people, how the images were chosen; `labels` is the Parquet file, whose hash is the id."""

    dataset_id: str
    kind: Kind
    images: int
    labels: contract.FileRef
    shards: tuple[contract.FileRef, ...]
    rule: Mapping[str, Any]
    made_by: str


def freeze(
    connection: ledger.Connection,
    config: settings.Settings,
    kind: Kind,
    rows: Iterable[tuple[str, str]],
    shards: Sequence[contract.FileRef],
    rule: Mapping[str, Any],
    by: str,
) -> Dataset:
    """Write a dataset and record it; freezing the same rows again answers with what was recorded first.

    Args:
        rows: (image id, label) of each image, in any order.
        shards: those that have the images.
        by: the person or program that asked.

    Raises:
        DatasetError: no row, an image twice, the same rows as another kind of set, or an image that models learn from
            in a set that they are tested on, or the other way round.
    """
    ordered = sorted(rows)
    if not ordered:
        raise DatasetError(f"a {kind} set of no image cannot be frozen")
    if len({image for image, _ in ordered}) < len(ordered):
        raise DatasetError(f"a {kind} set has an image twice: give each image one label")
    labels = write_labels(config.store, FOLDER, ordered)
    row = {"dataset_id": labels.sha256, "kind": kind, "images": len(ordered), "labels": labels.path, "made_by": by}
    row |= {"shards": Jsonb([ref.to_dict() for ref in sorted(shards, key=str)]), "rule": Jsonb(rule)}
    if ledger.execute(connection, "insert_dataset", row):
        columns = ("dataset_id", "image_id", "label")
        ledger.copy_rows(connection, "dataset_images", columns, ((labels.sha256, *one) for one in ordered))
        _check_apart(connection, row)
    frozen = read(connection, labels.sha256)
    if frozen.kind != kind:
        raise DatasetError(f"these images are frozen already, as {frozen.kind} set {frozen.dataset_id[:12]}")
    return frozen


def read(connection: ledger.Connection, dataset_id: str) -> Dataset:
    """A recorded dataset.

    Raises:
        DatasetError: there is none with this id.
    """
    found = ledger.fetch(connection, "select_dataset", {"dataset_id": dataset_id})
    if not found:
        raise DatasetError(f"the ledger has no dataset {dataset_id}")
    return _dataset(found[0])


def latest(
    connection: ledger.Connection,
    kind: Kind,
    classes: Sequence[str] | None = None,
    some_of: Sequence[str] | None = None,
) -> Dataset | None:
    """The set of a kind that was frozen last, if there is one.

    Args:
        classes: it has no other labels.
        some_of: it has one of these labels.
    """
    query: dict[str, Any] = {"kind": kind, "classes": None, "some_of": None}
    query |= {name: list(of) for name, of in (("classes", classes), ("some_of", some_of)) if of is not None}
    found = ledger.fetch(connection, "select_latest_dataset", query)
    return _dataset(found[0]) if found else None


def labels(store: Path, dataset: Dataset) -> dict[str, str]:
    """The label of each image, in the order of image ids.

    Raises:
        contract.BadInput: the file is missing or altered.
    """
    table = tables.read(contract.verified(store, dataset.labels), contract.LABEL_COLUMNS)
    return dict(zip(table["image_id"].to_pylist(), table["label"].to_pylist(), strict=True))


def write_labels(store: Path, folder: str, rows: Sequence[tuple[str, str]]) -> contract.FileRef:
    """A Parquet file of (image id, label), named by its hash, in a folder of the store; written whole or not at all."""
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in contract.LABEL_COLUMNS])
    columns = list(zip(*rows, strict=True))
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table(list(map(list, columns)), schema=schema), buffer, compression="zstd")
    content = buffer.getvalue().to_pybytes()
    digest = hashlib.sha256(content).hexdigest()
    (store / folder).mkdir(parents=True, exist_ok=True)
    contract.write_whole(store / folder / f"{digest}.parquet", content)
    return contract.FileRef(f"{folder}/{digest}.parquet", digest)


def _dataset(row: Mapping[str, Any]) -> Dataset:
    return Dataset(
        row["dataset_id"],
        row["kind"],
        row["images"],
        contract.FileRef(row["labels"], row["dataset_id"]),
        tuple(contract.FileRef.from_dict(shard) for shard in row["shards"]),
        row["rule"],
        row["made_by"],
    )


def _check_apart(connection: ledger.Connection, row: Mapping[str, Any]) -> None:
    if found := ledger.fetch(connection, "count_dataset_overlaps", row):
        other = found[0]
        raise DatasetError(
            f"{other['images']} images of this {row['kind']} set are in {other['kind']} set {other['dataset_id'][:12]}:"
            " what a model learns from is never what it is tested on"
        )
