"""The rows of a replay: what is recorded of each image, frozen, and what came of it when it was classified again.

All files are read and written a shard at a time, so that memory does not grow with the window.
"""

import collections
import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

import strandline_contract as contract
from strandline import tables

TOLERANCE = 0.001  # between probabilities: as a load allows between two runs
ROWS_AT_ONCE = 4096
SHOWN_ROWS = 50
NOT_IN_SHARD = "NOT_IN_SHARD"  # why a row is missing of which a source, as a whole, is not

WINDOW_COLUMNS = (
    ("source", "int32"),
    *((name, "string") for name in ("image_id", "name", "made_by", "made_in", "made_label")),
    ("recorded_in", "string"),
    ("recorded_label", "string"),
    ("recorded_probabilities", "list<item: float>"),
    ("recorded_failure", "bool"),
)
ROW_COLUMNS = (
    *((name, "string") for name in ("image_id", "name", "made_by", "made_in", "made_label")),
    ("model_version", "string"),  # that it was replayed with
    ("status", "string"),  # one of STATUSES
    ("reason", "string"),  # of what is missing
    ("recorded_label", "string"),
    ("label", "string"),  # null if the image failed
    ("difference", "float"),  # the largest between the recorded probabilities and those found
    ("recorded_probabilities", "list<item: float>"),  # these two only if they are not equal
    ("probabilities", "list<item: float>"),
)
STATUSES = ("missing", "unrecorded", "equal", "within tolerance", "different")


class AttemptError(Exception):
    """What a shard was classified to is not fit to be compared."""


@dataclasses.dataclass(frozen=True)
class Source(contract.Message):
    """A shard as a run had it classified: what to classify again (`request`, a place in the plan's requests), or the
    `reason` why that cannot be done. `runtime` is what its recorded results came of.
    """

    run_id: str | None
    shard_id: str | None
    model_version: str | None  # to replay with
    request: int | None = None
    reason: str | None = None
    detail: str | None = None
    runtime: dict[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Attempt:
    """A sealed classification of a source's shard."""

    predictions: Path
    runtime: dict[str, str]


@dataclasses.dataclass
class Tally:
    """What comes of all rows. `unequal` are those that must be equal and are not. `runs` has the images by the run that
    a recorded result is of; `pairs` the images by the version that made their prediction, the one they were replayed
    with, and the label of each; `runtimes` the statuses by the recorded runtime and that of the replay, both as JSON.
    """

    statuses: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    unequal: int = 0
    largest: float | None = None
    runs: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    missing: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    pairs: collections.Counter[tuple[str, ...]] = dataclasses.field(default_factory=collections.Counter)
    runtimes: dict[tuple[str, str], collections.Counter[str]] = dataclasses.field(default_factory=dict)
    worst: list[dict[str, Any]] = dataclasses.field(default_factory=list)

    def add(self, source: Source, attempt: Attempt | None, frozen: pa.Table, rows: pa.Table) -> None:
        statuses = collections.Counter(rows["status"].to_pylist())
        self.statuses.update(statuses)
        if attempt:
            self._add_runtime(source, attempt, statuses)
        self.missing.update(reason for reason in rows["reason"].to_pylist() if reason)
        for runs, images in _count(frozen, "made_in", "recorded_in").items():
            self.runs.update(dict.fromkeys(set(runs) - {None}, images))
        for pair, images in _count(rows, "made_by", "model_version", "made_label", "label").items():
            if pair[0] != pair[1] and None not in pair:
                self.pairs[pair] += images
        self._add_worst(rows)

    def _add_runtime(self, source: Source, attempt: Attempt, statuses: Mapping[str, int]) -> None:
        key = (json.dumps(source.runtime, sort_keys=True), json.dumps(attempt.runtime, sort_keys=True))
        self.runtimes.setdefault(key, collections.Counter()).update(statuses)
        self.unequal += statuses.get("different", 0)
        if must_be_equal(source.runtime, attempt.runtime):
            self.unequal += statuses.get("within tolerance", 0)

    def _add_worst(self, rows: pa.Table) -> None:
        largest = pc.max(rows["difference"]).as_py()
        if largest is not None:
            self.largest = max(largest, self.largest or 0.0)
        moved = rows.filter(pc.is_in(rows["status"], pa.array(STATUSES[3:])))
        by = [
            ("status", "ascending"),
            ("difference", "descending"),
        ]  # `different` is the first of the two by its letters
        self.worst += moved.sort_by(by).slice(0, SHOWN_ROWS).to_pylist()
        self.worst.sort(key=lambda row: (row["status"], -(row["difference"] or 0.0)))
        del self.worst[SHOWN_ROWS:]


def must_be_equal(recorded: Mapping[str, str], found: Mapping[str, str]) -> bool:
    """The same bits are due of two runtimes. Not on a GPU: cuDNN chooses algorithms by their speed, again each time."""
    return recorded == found and found["device"] == "cpu"


def _count(table: pa.Table, *names: str) -> collections.Counter[tuple[Any, ...]]:
    return collections.Counter(zip(*(table[name].to_pylist() for name in names), strict=True))


def freeze(recorded: Iterable[Mapping[str, Any]], path: Path) -> list[tuple[str | None, str | None]]:
    """Write what is recorded of a window's images.

    Args:
        recorded: mappings of WINDOW_COLUMNS but `source`, in the order of their `run_id` and `shard_id`.

    Returns:
        The run and the shard of each source.
    """
    sources: list[tuple[str | None, str | None]] = []
    with contract.whole(path) as file, pq.ParquetWriter(file, _schema(WINDOW_COLUMNS)) as writer:
        for source, group in itertools.groupby(recorded, lambda row: (row["run_id"], row["shard_id"])):
            while chunk := list(itertools.islice(group, ROWS_AT_ONCE)):
                numbered = [{**row, "source": len(sources)} for row in chunk]
                writer.write_table(pa.Table.from_pylist(numbered, _schema(WINDOW_COLUMNS)))
            sources.append(source)
    return sources


def compare(
    frozen: Path, sources: Sequence[Source], attempts: Sequence[Attempt], classes: Mapping[str, int], path: Path
) -> Tally:
    """Write a row of ROW_COLUMNS for each frozen one.

    Args:
        classes: how many each model version has.

    Raises:
        AttemptError: a prediction does not have a probability of each class.
    """
    tally = Tally()
    with contract.whole(path) as file, pq.ParquetWriter(file, _schema(ROW_COLUMNS), compression="zstd") as writer:
        for number, recorded in _by_source(frozen):
            source = sources[number]
            attempt = None if source.request is None else attempts[source.request]
            rows = _hold(recorded, source, attempt, classes.get(source.model_version or "", 0))
            writer.write_table(rows)
            tally.add(source, attempt, recorded, rows)
    return tally


def _by_source(path: Path) -> Iterator[tuple[int, pa.Table]]:
    """The rows of each source: they are groups of the file that follow each other."""
    with pq.ParquetFile(path) as file:
        groups = (file.read_row_group(group) for group in range(file.num_row_groups))
        for number, tables in itertools.groupby(groups, lambda table: table["source"][0].as_py()):
            yield number, pa.concat_tables(tables).combine_chunks()


def _hold(recorded: pa.Table, source: Source, attempt: Attempt | None, classes: int) -> pa.Table:
    """Hold what is recorded of a source's images against what the attempt found."""
    labels = np.array(recorded["recorded_label"].to_pylist(), object)
    probabilities = _matrix(recorded["recorded_probabilities"].combine_chunks(), classes)
    seen, found_labels, found = _find(recorded["image_id"].combine_chunks(), attempt, classes)
    known = recorded["recorded_label"].is_valid().to_numpy() | recorded["recorded_failure"].to_numpy()
    # Of an image that failed, the label is None and all probabilities are one and the same NaN.
    same_label = labels == found_labels
    bits = (probabilities.view(np.uint32) == found.view(np.uint32)).all(axis=1)
    difference = np.abs(probabilities.astype(float) - found).max(axis=1, initial=0)
    conditions = [~seen, ~known, same_label & bits, same_label & (difference <= TOLERANCE)]
    status = np.select(conditions, STATUSES[:4], STATUSES[4])
    moved = np.isin(status, STATUSES[3:])
    columns = {name: recorded[name] for name in recorded.column_names} | {
        "model_version": pa.array([source.model_version] * len(recorded), pa.string()),
        "status": status.tolist(),
        "reason": pa.array([source.reason or NOT_IN_SHARD] * len(recorded), pa.string(), mask=seen),
        "label": pa.array(found_labels, pa.string()),
        "difference": pa.array(difference, pa.float32(), mask=~(seen & np.isfinite(difference))),
        "recorded_probabilities": _lists(probabilities, moved),
        "probabilities": _lists(found, moved),
    }
    return pa.table({name: columns[name] for name, _ in ROW_COLUMNS}, schema=_schema(ROW_COLUMNS))


def _find(
    ids: pa.Array, attempt: Attempt | None, classes: int
) -> tuple[NDArray[np.bool_], NDArray[np.object_], NDArray[np.float32]]:
    """Of each image: whether the attempt has it, its label (None if it failed), and its probabilities."""
    seen, labels = np.zeros(len(ids), bool), np.full(len(ids), None, object)
    probabilities = np.full((len(ids), classes), np.nan, np.float32)
    if attempt is None:
        return seen, labels, probabilities
    columns = tables.among(contract.PREDICTION_COLUMNS, "image_id", "label", "probabilities")
    for batch in tables.batches(attempt.predictions, columns):
        lengths = pc.list_value_length(batch["probabilities"])
        if pc.any(pc.not_equal(lengths, classes)).as_py():
            raise AttemptError(f"{attempt.predictions} lacks probabilities: each of {classes} classes must have one")
        places = pc.fill_null(pc.index_in(batch["image_id"], value_set=ids), -1).to_numpy()
        ours, places = batch.filter(pa.array(places >= 0)), places[places >= 0]
        seen[places] = True
        labels[places] = ours["label"].to_pylist()
        probabilities[places] = _matrix(ours["probabilities"], classes)
    return seen, labels, probabilities


def _matrix(lists: pa.Array, classes: int) -> NDArray[np.float32]:
    """Float32 [n, classes] of lists; NaN if there is none."""
    values = np.full((len(lists), classes), np.nan, np.float32)
    given = lists.is_valid().to_numpy(zero_copy_only=False)
    if given.any():
        values[given] = lists.drop_null().flatten().to_numpy().reshape(-1, classes)
    return values


def _lists(values: NDArray[np.float32], where: NDArray[np.bool_]) -> pa.Array:
    """A column of lists, null elsewhere and if there is no number."""
    given = where & ~np.isnan(values).any(axis=1)
    offsets = np.concatenate([[0], np.cumsum(np.where(given, values.shape[1], 0))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values[given].ravel()), mask=pa.array(~given))


def _schema(columns: Sequence[tuple[str, str]]) -> pa.Schema:
    types = {"list<item: float>": pa.list_(pa.float32()), "float": pa.float32(), "bool": pa.bool_()}
    return pa.schema([(name, types[kind] if kind in types else pa.type_for_alias(kind)) for name, kind in columns])
