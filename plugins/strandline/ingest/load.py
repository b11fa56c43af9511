"""Load: what packing, validation and classification found out about a run, into the ledger, in one transaction."""

import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from psycopg.types.json import Jsonb

import strandline_contract as contract
from strandline import attempts, ledger, settings, tables
from strandline.attempts import SealedAttempt
from strandline.errors import PermanentError
from strandline.ingest.listing import ListedRun, PackedShard
from strandline.models import runtimes

ROWS_AT_ONCE = 4096
SUM_TOLERANCE = 1e-3

OUTCOME_COLUMNS = (
    *("shard_id", "state", "decoded", "reason", "detail", "notes"),
    *("image_id", "width", "height", "format", "mode", "bytes", *contract.IMAGE_STATISTICS),
)
PREDICTION_COLUMNS = ("image_id", "label", "confidence", "probabilities", "failure")
BATCH_COLUMNS = (
    *("shard_id", "shard_rows", "seconds", "versions", "device"),
    *("shard_sha256", "image_digest", "folder", "result_sha256"),
)


EntryIds: TypeAlias = (
    "array.array[int]"  # of a shard: the id of each entry by its ordinal, and 0 once its outcome is known
)


class LoadError(PermanentError):
    """Nothing was loaded, because results are not whole or contradict each other; the message names the first rows."""


@dataclass(frozen=True)
class Attempt:
    """A sealed classification of one shard, checked against its request, its shard and its files."""

    shard_id: str
    predictions: Path
    shard_rows: int
    shard_sha256: str
    result: contract.Result
    image_digest: str | None
    folder: str  # relative to the store
    result_sha256: str

    @classmethod
    def read(cls, store: Path, classified: SealedAttempt, model_version: str, most: int) -> "Attempt":
        """
        Args:
            most: rows that its shard may have.

        Raises:
            LoadError: it classified something else.
            contract.NoResult: its files are missing or altered.
        """
        shard_id = classified.shard_id
        attempt, result = attempts.read(store, classified, "classify")
        request = contract.read_request("classify", attempt / contract.REQUEST_FILE)
        assert isinstance(request, contract.ClassifyRequest)
        predictions = attempt / contract.PREDICTIONS_FILE
        if request.shard_id != shard_id or request.bundle.version != model_version:
            raise LoadError(
                f"{attempt} classified shard {request.shard_id} with model version {request.bundle.version}; the run"
                f" asks for shard {shard_id} and version {model_version}"
            )
        if contract.PREDICTIONS_FILE not in result.files:
            raise LoadError(f"{attempt} has a result without {contract.PREDICTIONS_FILE}")
        shard = contract.store_path(store, request.shard.path)
        rows = tables.count(shard, tables.among(contract.SHARD_COLUMNS, "image_id"), most)
        found = tables.count(predictions, contract.PREDICTION_COLUMNS)
        if not rows == found == result.counts.get("rows"):
            raise LoadError(f"{predictions} has {found} rows, its result {result.counts}, and the shard {rows} rows")
        shard_sha256, image, folder = request.shard.sha256, classified.image, classified.folder
        sealed = contract.sha256_file(attempt / contract.RESULT_FILE)
        return cls(shard_id, predictions, rows, shard_sha256, result, image, folder, sealed)

    def batch(self) -> tuple[Any, ...]:
        """Its row, in the order of BATCH_COLUMNS."""
        seconds, versions = Jsonb(self.result.seconds), Jsonb(self.result.versions)
        made_by = (seconds, versions, self.result.device, self.shard_sha256, self.image_digest)
        return self.shard_id, self.shard_rows, *made_by, self.folder, self.result_sha256


def load(run_id: str, classified: Iterable[SealedAttempt]) -> dict[str, int]:
    """Record the outcome of every entry of a run and of every image in its shards. Loading again changes nothing.

    Reads `validation/outcomes.parquet` of the run's folder and the attempts, a few thousand rows at a time. An entry
    that is settled already keeps its outcome, an image its prediction. A shard of which validation accepted nothing
    has no attempt.

    Returns:
        The number of `shards`; of entries by state; of images `classified` and `failed` by this load, and `known`:
        those that had a prediction, or a failure of this run, before.

    Raises:
        LoadError: rows are missing, foreign, repeated or not sane, or contradict what is recorded.
        contract.NoResult: an attempt's files are missing or altered.
    """
    config = settings.get()
    with ledger.connect("ingest") as connection:
        run = {"run_id": run_id} | _model(connection, run_id)
        listed = _listed(connection, run_id)
        # Those of other runs' shards are refused further down, by the ledger.
        most = {shard_id: len(entries) for shard_id, entries in listed.items()}
        attempts = [
            Attempt.read(config.store, one, run["model_version"], most.get(one.shard_id, tables.MOST_ROWS))
            for one in classified
        ]
        _stage_outcomes(connection, listed, config.run_folder(run_id) / "validation" / contract.OUTCOMES_FILE)
        _stage_predictions(connection, attempts, run["classes"])
        ledger.execute(connection, "lock_ledger")
        return {"shards": len(attempts)} | _merge(connection, run)


def plan(run: ListedRun, shards: Sequence[PackedShard]) -> list[contract.ClassifyRequest]:
    """A classify request for each shard.

    Raises:
        UnprovedRuntime: the run's model may not be computed as the settings say.
    """
    config = settings.get()
    parallel = max(1, min(len(shards), config.vision.cores))
    with ledger.connect("ingest") as connection:
        runtime = runtimes.proved(connection, config.vision.runtime(parallel), run.model_version)
    return [
        contract.ClassifyRequest(
            shard_id=shard.shard_id,
            shard=contract.FileRef(f"{shard.folder}/{contract.SHARD_FILE}", shard.sha256),
            bundle=contract.BundleRef(run.bundle, run.model_version),
            runtime=runtime,
        )
        for shard in shards
    ]


def _model(connection: ledger.Connection, run_id: str) -> dict[str, Any]:
    found = ledger.fetch(connection, "select_run_model", {"run_id": run_id})
    if not found:
        raise LoadError(f"the ledger has no run {run_id}: nothing was listed for it")
    return found[0]


def _listed(connection: ledger.Connection, run_id: str) -> dict[str, EntryIds]:
    """What each shard of a run lists."""
    listed: dict[str, EntryIds] = {}
    shards = ledger.fetch(connection, "select_run_shards", {"run_id": run_id})
    for row in shards:
        listed[row["shard_id"]] = array.array("q", bytes(8 * row["entries"]))
    for row in ledger.stream(connection, "select_run_entries", {"run_id": run_id}):
        listed[row["shard_id"]][row["ordinal"]] = row["entry_id"]
    return listed


def _stage_outcomes(connection: ledger.Connection, listed: Mapping[str, EntryIds], path: Path) -> None:
    """Each with the entry that it is of, by shard and ordinal."""
    ledger.stage(connection, "create_staged_outcomes", ("entry_id", *OUTCOME_COLUMNS), _outcome_rows(path, listed))
    for shard_id, entries in listed.items():
        if left := [ordinal for ordinal, entry_id in enumerate(entries) if entry_id]:
            raise LoadError(f"{path} has no outcome for {len(left)} entries of shard {shard_id}: {left[0]}...")


def _outcome_rows(path: Path, listed: Mapping[str, EntryIds]) -> Iterator[tuple[Any, ...]]:
    """Those of entries in shards, which are taken out of `listed`; the others were settled by the listing."""
    for batch in pq.ParquetFile(path).iter_batches(ROWS_AT_ONCE, columns=["entry", *OUTCOME_COLUMNS]):
        in_shards = batch.filter(pc.field("shard_id").is_valid())
        ordinals = in_shards["entry"].to_pylist()
        rows = zip(*(in_shards[name].to_pylist() for name in OUTCOME_COLUMNS), strict=True)
        for ordinal, row in zip(ordinals, rows, strict=True):
            entries = listed.get(row[0])
            if entries is None or not 0 <= ordinal < len(entries) or not (entry_id := entries[ordinal]):
                raise LoadError(f"{path} has entry {ordinal} of {row[0]} twice, or it was never listed")
            entries[ordinal] = 0
            yield entry_id, *row


def _stage_predictions(connection: ledger.Connection, attempts: Sequence[Attempt], classes: Sequence[str]) -> None:
    rows = (row for attempt in attempts for row in _prediction_rows(attempt, classes))
    ledger.stage(connection, "create_staged_predictions", ("shard_id", *PREDICTION_COLUMNS), rows)
    ledger.stage(connection, "create_staged_batches", BATCH_COLUMNS, (attempt.batch() for attempt in attempts))


def _prediction_rows(attempt: Attempt, classes: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    columns_read = tables.among(contract.PREDICTION_COLUMNS, *PREDICTION_COLUMNS)
    for batch in tables.batches(attempt.predictions, columns_read, rows=attempt.shard_rows):
        _check_sane(attempt.predictions, batch, classes)
        columns = (batch[name].to_pylist() for name in PREDICTION_COLUMNS)
        yield from zip(repeat(attempt.shard_id, len(batch)), *columns, strict=True)


def _check_sane(path: Path, batch: Any, classes: Sequence[str]) -> None:
    """Each row is a failure, or has probabilities of all classes that sum to 1, and of its label the largest."""
    failed = batch["failure"].is_valid()
    lengths = pc.fill_null(pc.list_value_length(batch["probabilities"]), 0)
    whole = pc.and_(pc.equal(lengths, len(classes)), pc.is_in(batch["label"], value_set=pa.array(classes)))
    half = pc.and_(failed, batch["label"].is_valid())
    _refuse(path, batch, pc.or_(half, pc.and_not(pc.invert(failed), whole)))

    good = batch.filter(pc.invert(failed))
    probabilities = np.asarray(good["probabilities"].flatten()).reshape(len(good), len(classes))
    label = np.asarray(pc.index_in(good["label"], value_set=pa.array(classes)))
    sane = (
        ((probabilities >= 0) & (probabilities <= 1)).all(axis=1)
        & (np.abs(probabilities.sum(axis=1, dtype=np.float64) - 1) <= SUM_TOLERANCE)
        & (probabilities[np.arange(len(good)), label] == probabilities.max(axis=1, initial=0))
        & (good["confidence"].to_numpy(zero_copy_only=False) == probabilities.max(axis=1, initial=0))
    )
    _refuse(path, good, pa.array(~sane))


def _refuse(path: Path, batch: Any, bad: Any) -> None:
    for row in batch.filter(bad).slice(0, 1).to_pylist():
        raise LoadError(f"{path} has a prediction that is not sane: {row}")


def _merge(connection: ledger.Connection, run: Mapping[str, Any]) -> dict[str, int]:
    run_id = run["run_id"]
    _check(connection, "find_batch_faults", run, f"run {run_id} and its classified shards do not match")
    _check(connection, "find_prediction_faults", run, f"the predictions of run {run_id} do not match its shards")
    ledger.execute(connection, "insert_images", run)
    _check(connection, "find_image_faults", run, f"run {run_id} and the ledger decoded the same content differently")
    ledger.execute(connection, "insert_outcomes", run)
    ledger.execute(connection, "create_resolved_images")
    ledger.execute(connection, "insert_resolved_images", run)
    ledger.execute(connection, "analyze_resolved_images")
    ledger.execute(connection, "insert_batches", run)
    loaded = {
        "classified": ledger.execute(connection, "insert_predictions", run),
        "failed": ledger.execute(connection, "insert_prediction_failures", run),
    }
    _check(connection, "find_disagreements", run, f"run {run_id} and the ledger disagree about what a model says")

    statuses = {row["status"]: row["images"] for row in ledger.fetch(connection, "count_resolved_images")}
    states = {row["state"]: row["entries"] for row in ledger.fetch(connection, "count_run_outcomes", run)}
    if "open" in states or any(statuses.get(status, 0) != count for status, count in loaded.items()):
        raise LoadError(f"run {run_id} was not loaded whole: {states}, {statuses}, loaded {loaded}")
    return states | loaded | {"known": statuses.get("known", 0) + statuses.get("failed before", 0)}


def _check(connection: ledger.Connection, query: str, run: Mapping[str, Any], says: str) -> None:
    if faults := ledger.fetch(connection, query, run):
        rows = "; ".join(", ".join(f"{column} {value}" for column, value in row.items()) for row in faults)
        raise LoadError(f"{says}: {rows}")
