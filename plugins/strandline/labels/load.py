"""Labels: what files and people say that images show, and which images people are asked about."""

import collections
import contextlib
import dataclasses
import datetime
import logging
import os
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from psycopg.types.json import Jsonb

import strandline_contract as contract
from strandline import ledger, settings
from strandline.errors import PermanentError
from strandline.labels.files import PACKED, SUFFIXES, Reader, Refused, Row, default_labeller, is_labeller
from strandline.models import versions
from strandline.scan import FOLDER, SIDECAR_NAMES, SIDECAR_PREFIX, Entry, LandingError, scan

log = logging.getLogger(__name__)

FILES_NAMED = 20  # of those that are no use
REJECTIONS_KEPT = 100_000  # rows of a file; all are counted
ROWS = {"accepted": "accepted", "known": "repeated", "rejected": "rejected", "waiting": "waiting"}  # statuses on rows
SAMPLED_DAYS = 2  # how long after its end a run is still sampled


class LabelError(PermanentError):
    """Labels cannot be taken, and another try cannot help; the message says what to do."""


class _Deferred(Exception):
    """A file is left for the next run; the message says why."""


@dataclasses.dataclass(frozen=True)
class Loaded(contract.Message):
    """Files `loaded`, `known` (their name has that content already), `refused` and `deferred`; rows `accepted`,
    `repeated`, `rejected` and, of the files loaded now, `waiting`.
    """

    loaded: int
    known: int
    refused: int
    deferred: int
    accepted: int
    repeated: int
    rejected: int
    waiting: int


@dataclasses.dataclass(frozen=True)
class AuditSample(contract.Message):
    """How many `runs` were looked at, and how many images people are asked about."""

    runs: int
    asked: int


def load(run_id: str, at_once: bool = False) -> Loaded:
    """Load each label file that is new or has changed, in the order of their times, one transaction each.

    A broken row is rejected, and breaks no other. One that names an image which is not ingested waits for it, for
    STRANDLINE_LABEL_PATIENCE_HOURS: first come those that wait since earlier runs. A file is left for the next run
    while it changes.

    Args:
        run_id: of ingest_labels.
        at_once: do not wait for images that are not ingested: reject such rows, also those that wait already.

    Raises:
        LabelError: there is no folder of label files.
        NoChampion: there is none, whose classes are the valid labels.
    """
    patience = 0 if at_once else settings.get().label_patience.total_seconds()
    totals = collections.Counter(dict.fromkeys((field.name for field in dataclasses.fields(Loaded)), 0))
    with ledger.connect("labels") as connection:
        waiting = ledger.fetch(connection, "select_waiting_label_files", {"patience": patience})
    for file in waiting:
        counts = _take_up(file, run_id)
        totals.update({ROWS[status]: rows for status, rows in counts.items() if status != "waiting"})
    for entry in _new_files(totals):
        try:
            row = _take(entry, run_id, patience > 0)
        except _Deferred as deferred:
            log.info("label file %s is left for the next run: %s", entry.display_name, deferred)
            totals["deferred"] += 1
            continue
        totals.update({row["state"]: 1} | {total: row[status] for status, total in ROWS.items()})
    return Loaded(**totals)


def check_files(run_id: str) -> None:
    """Say of which files a run of `load` could use nothing, so that a person sees it.

    One whose name has come again since, and said something, is no more spoken of.

    Raises:
        LabelError: there are such files; the message names each, and why.
    """
    with ledger.connect("labels") as connection:
        found = ledger.fetch(connection, "select_useless_label_files", {"run_id": run_id})
    if found:
        lines = [f"{row['fname']}: {_why(row)}" for row in found[:FILES_NAMED]]
        lines += [f"and {len(found) - FILES_NAMED} more"] * (len(found) > FILES_NAMED)
        raise LabelError(
            f"nothing could be used of {len(found)} label file(s); correct each and drop it again under its name, or"
            " see reporting.label_files and reporting.label_rejections:\n" + "\n".join(lines)
        )


def _why(row: dict[str, Any]) -> str:
    if row["state"] == "refused":
        return f"refused as {row['reason']}. {row['detail']}"
    reasons = ", ".join(f"{reason} {rows:,}" for reason, rows in row["reasons"].items())
    return f"none of its {row['rows_read']:,} rows counts: {reasons}"


def record(image_id: str, label: str | None, labeller: str, decides: bool = False) -> bool:
    """Record what a person says that an image shows; the same again is no new word.

    Args:
        label: a class of the champion, or None: none of them, or the image is of no use.
        labeller: the person's name in Airflow.
        decides: it ends a conflict between people: it goes before all that was said of the image.

    Raises:
        LabelError: no such image, class or labeller.
    """
    with ledger.connect("people") as connection:
        classes = versions.champion(connection)["classes"]
        if label is not None and label not in classes:
            raise LabelError(f"{label} is not a class of the champion: those are {', '.join(classes)}")
        if not is_labeller(labeller):
            raise LabelError(f"{labeller!r} cannot be the name of a labeller")
        if not ledger.fetch(connection, "select_image", {"image_id": image_id}):
            raise LabelError(f"the ledger has no image {image_id}")
        source = "decision" if decides else "person"
        word = {"image_id": image_id, "source": source, "labeller": labeller, "label": label or ""}
        return bool(ledger.execute(connection, "insert_person_label", word))


def choose_audit(run_ids: Sequence[str] | None = None, seed: str | None = None) -> AuditSample:
    """Choose which images of runs people are asked to label: some at random, and those that the model is least sure of.

    A run is sampled once; again changes nothing.

    Args:
        run_ids: of ingest_images; by default each run that was closed in the last days and has no sample, backfills
            excepted.
        seed: of the random choice; a fresh one for each run by default. The ledger keeps it.
    """
    config = settings.get()
    asked = 0
    with ledger.connect("labels") as connection:
        if run_ids is None:
            rows = ledger.fetch(connection, "select_unsampled_runs", {"days": SAMPLED_DAYS})
            run_ids = [row["run_id"] for row in rows]
        for run_id in run_ids:
            counts = {"random": config.labels.audit_random, "uncertain": config.labels.audit_uncertain}
            sample = {"run_id": run_id, "seed": seed or secrets.token_hex(16), **counts}
            asked += ledger.execute(connection, "insert_audit_sample", sample)
    return AuditSample(len(run_ids), asked)


def _new_files(totals: collections.Counter[str]) -> list[Entry]:
    """The files that are not recorded, the oldest first; those that may still change are counted as deferred."""
    root = settings.get().labels.folder
    try:
        found = list(scan(root, lambda _: True, time.time_ns()))
    except LandingError as error:
        raise LabelError(f"there is no folder {root} for label files: create it, or set STRANDLINE_LABELS") from error
    waiting = [entry for entry in found if entry.state != "deferred"]
    totals["deferred"] += len(found) - len(waiting)
    with ledger.connect("labels") as connection:
        new = _unrecorded(connection, waiting)
    return sorted(new, key=lambda entry: (entry.mtime_ns, entry.name))


def _unrecorded(connection: ledger.Connection, entries: Sequence[Entry]) -> list[Entry]:
    query = {"names": [entry.name for entry in entries], "versions": [entry.version for entry in entries]}
    return [entries[row["position"]] for row in ledger.fetch(connection, "select_new_label_files", query)]


def _take_up(file: dict[str, Any], run_id: str) -> dict[str, int]:
    """Judge the rows of a loaded file that wait again; how many have which status.

    Args:
        file: of `select_waiting_label_files`; if it is `late`, none waits any longer.
    """
    with ledger.connect("labels") as connection:
        ledger.execute(connection, "lock_labels")
        ledger.execute(connection, "create_staged_labels")
        ledger.execute(connection, "stage_label_waits", file)
        ledger.execute(connection, "analyze_staged_labels")
        counts, reasons = _decide(connection, wait=not file["late"])
        if reasons:
            log.warning("label file %s has rows that waited and are rejected: %s", file["display_name"], reasons)
        ledger.execute(connection, "insert_labels", file)
        ledger.execute(connection, "insert_label_wait_ends", file | {"run_id": run_id})
        return counts


def _take(entry: Entry, run_id: str, wait: bool) -> dict[str, Any]:
    """Load one version of one file, or refuse it; its row.

    Raises:
        _Deferred: it is not for this run.
    """
    try:
        return _load(entry, run_id, wait)
    except Refused as refused:
        log.warning("label file %s is refused: %s %s", entry.display_name, refused.reason, refused.detail)
        with ledger.connect("labels") as connection:
            return _record(connection, entry, run_id, "refused", reason=refused.reason, detail=refused.detail)


def _load(entry: Entry, run_id: str, wait: bool) -> dict[str, Any]:
    kind = _kind(entry)
    with ledger.connect("labels") as connection:
        model = versions.champion(connection)
        with _open(entry) as file:
            sha256 = _stage(connection, file, kind, entry, model["classes"])
            if _version(file) != entry.version:
                raise _Deferred("it changed while it was read")
        ledger.execute(connection, "lock_labels")
        if same := ledger.fetch(connection, "select_same_label_file", {"name": entry.name, "sha256": sha256}):
            return _record(connection, entry, run_id, "known", sha256=sha256, same_as=same[0]["file_id"])
        counts, reasons = _decide(connection, wait)
        if counts["waiting"]:
            log.info("label file %s: %d rows wait for their images", entry.display_name, counts["waiting"])
        if reasons:
            log.warning("label file %s has rows that are rejected: %s", entry.display_name, reasons)
        facts = {"sha256": sha256, "model_version": model["version"], "rows_read": sum(counts.values())}
        row = _record(connection, entry, run_id, "loaded", **facts, **counts, reasons=Jsonb(reasons))
        ledger.execute(connection, "insert_labels", row)
        ledger.execute(connection, "insert_label_rejections", row | {"kept": REJECTIONS_KEPT})
        ledger.execute(connection, "insert_label_waits", row)
        return row


def _kind(entry: Entry) -> str:
    """csv or jsonl.

    Raises:
        Refused: it is no file to read.
    """
    name = entry.name.lower()
    if entry.version.endswith("-unreadable"):
        raise Refused("UNREADABLE")
    if entry.reason not in (None, "NOT_IMAGE", "TOO_LARGE"):  # which are said of images
        raise Refused(entry.reason)
    leaf = name.rpartition(b"/")[2]
    if leaf in SIDECAR_NAMES or leaf.startswith(SIDECAR_PREFIX):
        raise Refused("SIDECAR")
    if name.endswith(PACKED):
        raise Refused("PACKED")
    if not name.endswith(tuple(SUFFIXES)):
        raise Refused("NOT_LABELS")
    if entry.size > settings.get().labels.max_file_bytes:
        raise Refused("TOO_LARGE")
    return SUFFIXES[name[name.rindex(b".") :]]


@contextlib.contextmanager
def _open(entry: Entry) -> Iterator[BinaryIO]:
    """The very file that was seen, whatever lies at its path by now; no link is followed on the way.

    Raises:
        _Deferred: it is not there any more.
    """
    *folders, leaf = entry.name.split(b"/")
    with contextlib.ExitStack() as opened:
        try:
            fd = os.open(settings.get().labels.folder, FOLDER)
            for folder in folders:
                opened.callback(os.close, fd)
                fd = os.open(folder, FOLDER | os.O_NOFOLLOW, dir_fd=fd)
            opened.callback(os.close, fd)
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            file = opened.enter_context(os.fdopen(os.open(leaf, flags, dir_fd=fd), "rb"))
        except OSError as error:
            raise _Deferred(f"it is not there any more, or cannot be opened ({error})") from error
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or _version(file) != entry.version:
            raise _Deferred("it changed since it was listed")
        yield file


def _version(file: BinaryIO) -> str:
    return contract.version_tag(os.fstat(file.fileno()), settings.get().ingest.kept_fields)


def _stage(connection: ledger.Connection, file: BinaryIO, kind: str, entry: Entry, classes: Sequence[str]) -> str:
    """Copy all rows, good and bad, to the database; the content's hash."""
    now, max_rows = datetime.datetime.now(datetime.UTC), settings.get().labels.max_rows
    reader = Reader(file, kind, default_labeller(entry.name), classes, now, max_rows)
    ledger.stage(connection, "create_staged_labels", Row._fields, reader.rows())
    return reader.sha256


def _decide(connection: ledger.Connection, wait: bool) -> tuple[dict[str, int], dict[str, int]]:
    """Staged rows by status, and of the rejected ones by reason; `wait`: for images that are not ingested."""
    ledger.execute(connection, "create_staged_paths")
    ledger.execute(connection, "insert_staged_paths")
    ledger.execute(connection, "insert_staged_places")
    ledger.execute(connection, "create_judged_labels")
    ledger.execute(connection, "insert_judged_labels", {"wait": wait})
    counted = ledger.fetch(connection, "count_judged_labels")
    statuses = {status: sum(row["rows"] for row in counted if row["status"] == status) for status in ROWS}
    return statuses, {row["reason"]: row["rows"] for row in counted if row["reason"]}


def _record(connection: ledger.Connection, entry: Entry, run_id: str, state: str, **facts: Any) -> dict[str, Any]:
    """The row of a file, recorded.

    Raises:
        _Deferred: another run was first.
    """
    ledger.execute(connection, "lock_labels")
    if not _unrecorded(connection, [entry]):
        raise _Deferred("another run has just recorded it")
    row = {"name": entry.name, "version": entry.version, "display_name": entry.display_name, "size": entry.size}
    row |= {"modified_at": entry.modified_at, "state": state, "run_id": run_id, "reasons": Jsonb({})}
    row |= dict.fromkeys(("reason", "detail", "sha256", "same_as", "model_version"))
    row |= dict.fromkeys(("rows_read", *ROWS), 0)
    row |= facts
    return row | ledger.fetch(connection, "insert_label_file", row)[0]
