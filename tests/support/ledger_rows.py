"""Runs as they are before they are loaded: listed in the ledger, their files in the store, all by the real ways in."""

import datetime
import hashlib
import itertools
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import strandline_contract as contract
from strandline import ledger, settings
from strandline.attempts import SealedAttempt
from strandline.ingest import listing, validation

CLASSES = ("cat", "dog", "frog")
SECONDS = {"spawn": 0.1, "import": 0.2, "verify": 0.05, "first_batch": 0.15, "classify": 0.5}
HOUR = datetime.datetime(2026, 11, 21, 8, tzinfo=datetime.UTC)


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class File:
    """A landed file: what it holds, and what packing and validation say about it.

    Without a shard, the listing settles it with `state` and `reason`.
    """

    name: str
    content: str = ""
    state: str = "accepted"
    reason: str | None = None
    decoded: bool = True
    shard: str | None = "shard 1"
    drop_at: datetime.datetime = HOUR
    width: int = 32
    source: str = ""

    @property
    def image_id(self) -> str | None:
        return None if self.state == "vanished" else digest(self.content or self.name)


def listed_run(run_id: str, listed: int, classes: Sequence[str] = CLASSES) -> listing.ListedRun:
    """A dry run of an hour, which refused nothing."""
    return listing.ListedRun(
        run_id=run_id,
        periods="2026-11-21T08",
        model_version="0" * 64,
        classes=tuple(classes),
        bundle="models/0",
        listed=listed,
        refused=(),
        future=0,
        dry_run=True,
        quarantine_limit=1.0,
        source_limits={},
        limits=contract.Limits(),
    )


def refused(name: str, reason: str = "TRUNCATED", **kwargs: Any) -> File:
    return File(name, state="quarantined", reason=reason, decoded=False, **kwargs)


def vanished(name: str, **kwargs: Any) -> File:
    return File(name, state="vanished", reason="VANISHED", decoded=False, **kwargs)


def rejected(name: str) -> File:
    return File(name, state="rejected", reason="NOT_IMAGE", decoded=False, shard=None)


def register(name: str = "first", champion: bool = True) -> str:
    """A model version of CLASSES; the champion, where there is none yet."""
    row = {"version": digest(name), "name": name, "network": "cifar_resnet20_v1", "classes": list(CLASSES)}
    row |= {"bundle": f"models/{digest(name)}", "metrics": json.dumps({"accuracy": 0.9}), "registered_by": "tester"}
    with ledger.connect("training") as connection:
        ledger.execute(connection, "insert_model_version", row)
    if champion:
        with ledger.connect("promotion") as connection:
            ledger.fetch(connection, "install_first_champion", {"version": row["version"], "by": "tester"})
    return row["version"]


@dataclass(frozen=True)
class Run:
    run_id: str
    version: str
    files: Sequence[File]
    kind: str = "manual"

    def row(self, **changes: Any) -> dict[str, Any]:
        start = min((file.drop_at for file in self.files), default=HOUR)
        end = max((file.drop_at for file in self.files), default=HOUR) + datetime.timedelta(hours=1)
        counts = {"files_seen": len(self.files), "known": 0, "deferred": 0, "listed": len(self.files)}
        interval = {"interval_start": start, "interval_end": end}
        return {"run_id": self.run_id, "kind": self.kind, "model_version": self.version} | interval | counts | changes

    def shards(self) -> dict[str, list[File]]:
        """Shard id to its files, in order."""
        names = dict.fromkeys(file.shard for file in self.files if file.shard)
        return {digest(name): [file for file in self.files if file.shard == name] for name in names}

    def entries(self) -> list[ledger.ListedEntry]:
        places = {
            file: (shard_id, ordinal) for shard_id, files in self.shards().items() for ordinal, file in enumerate(files)
        }
        return [listed(file, *places.get(file, (None, None))) for file in self.files]

    def record(self) -> None:
        with ledger.connect("ingest") as connection:
            ledger.record_listing(connection, self.row(), self.entries())

    def write_outcomes(self) -> None:
        """As validation leaves them."""
        rows = [
            outcome(shard_id, ordinal, file)
            for shard_id, files in self.shards().items()
            for ordinal, file in enumerate(files)
        ]
        folder = settings.get().run_folder(self.run_id) / "validation"
        folder.mkdir(parents=True, exist_ok=True)
        write_table(folder / contract.OUTCOMES_FILE, validation.OUTCOMES_COLUMNS, rows)

    def classify(self, failing: Collection[str] = (), shift: float = 0.0) -> list[SealedAttempt]:
        """An attempt at each shard that has an accepted file; images of the contents `failing` fail."""
        failures = {digest(content) for content in failing}
        return [
            write_attempt(self, shard_id, predictions(image_ids(files), failures, shift))
            for shard_id, files in self.shards().items()
            if any(file.state == "accepted" for file in files)
        ]

    def ready(self, failing: Collection[str] = (), shift: float = 0.0) -> list[SealedAttempt]:
        """All that a load needs; returns what it is called with."""
        self.record()
        self.write_outcomes()
        return self.classify(failing, shift)

    def of(self, run_id: str, **changes: Any) -> "Run":
        """The same files in another run."""
        return replace(self, run_id=run_id, **changes)


def listed(file: File, shard_id: str | None, ordinal: int | None) -> ledger.ListedEntry:
    name = f"{file.source}/{file.drop_at:%Y-%m-%dT%H}/cat/{file.name}".removeprefix("/")
    settled = (None, None) if shard_id else (file.state, file.reason)
    place = (shard_id, ordinal, *settled, None, file.source)
    return ledger.ListedEntry(file.drop_at, name.encode(), "100-1", name, "cat", 100, file.drop_at, *place)


def outcome(shard_id: str, ordinal: int, file: File) -> dict[str, Any]:
    row: dict[str, Any] = {"shard_id": shard_id, "entry": ordinal, "state": file.state, "decoded": file.decoded}
    row |= {"reason": file.reason, "image_id": file.image_id}
    if file.decoded:
        row |= {"width": file.width, "height": 32, "format": "JPEG", "mode": "RGB", "bytes": 100}
        row |= dict.fromkeys(contract.IMAGE_STATISTICS, 0.5)
    return row


def image_ids(files: Sequence[File]) -> list[str]:
    """The rows of a shard: one for each content that was decoded."""
    return list(dict.fromkeys(file.image_id for file in files if file.decoded and file.image_id))


def predictions(images: Sequence[str], failures: Collection[str] = (), shift: float = 0.0) -> list[dict[str, Any]]:
    """Prediction rows; the probabilities follow from the image, but for `shift` from the last class to the first."""
    return [
        {"image_id": image, "failure": "NOT_FINITE"} if image in failures else prediction(image, shift)
        for image in images
    ]


def prediction(image: str, shift: float = 0.0) -> dict[str, Any]:
    raw = np.frombuffer(bytes.fromhex(image[: 2 * len(CLASSES)]), np.uint8).astype(np.float32) + 1
    probabilities = raw / raw.sum()
    probabilities += np.float32(shift) * np.array([1, 0, -1], np.float32)
    best = int(probabilities.argmax())
    row = {"image_id": image, "label": CLASSES[best], "confidence": probabilities[best]}
    return row | {"probabilities": probabilities.tolist(), "embedding": [0.0]}


attempt_numbers = itertools.count()


def write_attempt(
    run: Run,
    shard_id: str,
    rows: Sequence[dict[str, Any]],
    /,
    pixels: Mapping[str, bytes] | None = None,
    **changes: Any,
) -> SealedAttempt:
    """A sealed attempt at classifying a shard, and the shard, with these pixels; `changes` are to its request."""
    store = settings.get().store
    folder = settings.get().run_folder(run.run_id) / "classify" / shard_id / str(next(attempt_numbers))
    folder.mkdir(parents=True)
    shard = store / "shards" / f"{shard_id}.parquet"
    shard.parent.mkdir(exist_ok=True)
    images = [{"image_id": one, "pixels": (pixels or {}).get(one)} for one in image_ids(run.shards()[shard_id])]
    write_table(shard, contract.SHARD_COLUMNS, images)
    request = contract.ClassifyRequest(
        shard_id,
        contract.FileRef(str(shard.relative_to(store)), contract.sha256_file(shard)),
        contract.BundleRef(f"models/{run.version}", run.version),
        contract.Runtime("openvino", threads=1, batch_size=64),
    )
    contract.write_json(folder / contract.REQUEST_FILE, replace(request, **changes).to_dict())
    write_table(folder / contract.PREDICTIONS_FILE, contract.PREDICTION_COLUMNS, rows)
    counts = {"rows": len(rows)}
    contract.write_result(folder, "classify", [contract.PREDICTIONS_FILE], counts, SECONDS, {"mxnet": "1.9"})
    return SealedAttempt(shard_id, str(folder.relative_to(store)), contract.sha256_file(folder / contract.RESULT_FILE))


def spoil(attempt: SealedAttempt, file: str, rows: Sequence[dict[str, Any]], **said: str) -> SealedAttempt:
    """Rewrite a file of an attempt as a hostile process may: each row says the same text, which the file holds once."""
    folder = settings.get().store / attempt.folder
    table = pa.Table.from_pylist(list(rows), pq.read_schema(folder / file))
    for name, text in said.items():
        column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(table), np.int32)), pa.array([text]))
        table = table.set_column(table.schema.get_field_index(name), name, column)
    pq.write_table(table, folder / file, store_schema=False, compression="zstd")
    command = contract.parse_json((folder / contract.RESULT_FILE).read_bytes())["command"]
    contract.write_result(folder, command, [file], {"rows": len(table)}, {}, {})
    return replace(attempt, sealed=contract.sha256_file(folder / contract.RESULT_FILE))


def write_table(path: Path, columns: Sequence[tuple[str, str]], rows: Sequence[dict[str, Any]]) -> None:
    types = {"list<item: float>": pa.list_(pa.float32()), "float": pa.float32(), "bool": pa.bool_()}
    schema = pa.schema([(name, types[kind] if kind in types else pa.type_for_alias(kind)) for name, kind in columns])
    pq.write_table(pa.Table.from_pylist(list(rows), schema), path, row_group_size=4096)
