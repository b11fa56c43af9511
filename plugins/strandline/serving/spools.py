"""Spools of serving processes: each line that was written before somebody was answered becomes a row, exactly once.

How far a spool is loaded changes in the transaction that inserts its lines. A line that is whole but cannot be recorded
is kept as it is, with the reason, and those behind it are loaded: if the first bad line held up all others, the disk
would fill with what is sound. One that does not end was never answered.
"""

import dataclasses
import datetime
import fcntl
import logging
import operator
import shutil
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

import strandline_contract as contract
from strandline import ledger

log = logging.getLogger(__name__)

SUFFIX = ".jsonl"
BATCH_BYTES = 4 * 2**20  # of a transaction, but for a line that is longer
MAX_LINE_BYTES = 64 * 2**20
SHOWN = 300  # characters of why a line is refused
# A process takes its lock right after it has made its folder: we do not look at a lock that is younger.
YOUNG_SECONDS = 10.0
Line = contract.ServedPrediction | contract.ServedFeedback
KINDS: dict[str, type[Line]] = {"prediction": contract.ServedPrediction, "feedback": contract.ServedFeedback}
PREDICTIONS, FEEDBACK = (
    tuple(field.name for field in dataclasses.fields(kind) if field.name != "kind") for kind in KINDS.values()
)
REFUSED = ("server", "segment", "position", "reason", "line")
# What Postgres, or its driver, cannot take of a line that is a message as it should be.
UNFIT = (psycopg.DataError, psycopg.IntegrityError, OverflowError, struct.error)


class SpoolError(Exception):
    """A spool cannot be read; the message says which, and what is in the way."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a spool is loaded: `bytes` of the segment that begins with `segment`, up to the line `last_sequence`."""

    segment: int = 0
    bytes: int = 0
    last_sequence: int = 0


class Read(NamedTuple):
    """A line where it stands in its segment: what it says, or why that cannot be recorded."""

    position: int
    raw: bytes
    line: Line | None
    reason: str = ""


class Chunk(NamedTuple):
    """Lines that end, of a segment, and where they begin in it."""

    segment: int
    start: int
    raw: bytes


def folders(serving: Path) -> list[Path]:
    """A folder each serving process, dead ones too, by name."""
    root = serving / contract.SPOOLS_FOLDER
    try:
        return sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())
    except FileNotFoundError:
        return []


def is_alive(folder: Path) -> bool:
    """Whether the process of a spool runs, or has only just begun to."""
    lock = folder / contract.LOCK_FILE
    try:
        if time.time() - (lock if lock.exists() else folder).stat().st_mtime < YOUNG_SECONDS:
            return True
        with contract.open_file(lock) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def segments(folder: Path) -> dict[int, Path]:
    """The segments of a spool by their first sequence, in order."""
    found = {int(path.stem): path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdecimal()}
    return dict(sorted(found.items()))


def load(folder: Path) -> bool:
    """Load the next lines of a spool, in one transaction; says whether there were any.

    Raises:
        SpoolError: a line is too long to be one.
        Unreachable, psycopg.OperationalError: the ledger is away; nothing was loaded.
    """
    server = folder.name
    with ledger.connect("serving") as connection:
        ledger.execute(connection, "insert_spool", {"server": server})
        before = Progress(**ledger.fetch(connection, "lock_spool", {"server": server})[0])
        chunk = next_lines(folder, before)
        if chunk is None:
            return False
        read = parse(server, chunk, before.last_sequence)
        refused = _record(connection, server, chunk.segment, read)
        last = max((one.line.sequence for one in read if one.line), default=before.last_sequence)
        after = Progress(chunk.segment, chunk.start + len(chunk.raw), last)
        ledger.execute(connection, "update_spool", {"server": server, **dataclasses.asdict(after)})
    for one in refused:
        log.error(
            "a line of %s is refused, at byte %d of segment %d: %s", server, one.position, after.segment, one.reason
        )
    return True


def next_lines(folder: Path, progress: Progress) -> Chunk | None:
    """The lines after those that are loaded; None if none has ended yet.

    Raises:
        SpoolError: a line is too long to be one.
    """
    # A segment is ended once there is a later one: so which there are is looked at before one is read.
    for segment, path in segments(folder).items():
        if segment < progress.segment:
            continue
        start = progress.bytes if segment == progress.segment else 0
        with contract.open_file(path) as file:
            file.seek(start)
            raw = file.read(BATCH_BYTES)
            if len(raw) == BATCH_BYTES and b"\n" not in raw:
                raw += file.readline(MAX_LINE_BYTES)
        if end := raw.rfind(b"\n") + 1:
            return Chunk(segment, start, raw[:end])
        if len(raw) > MAX_LINE_BYTES:
            raise SpoolError(
                f"{path} has a line of more than {MAX_LINE_BYTES:,} bytes at byte {start:,}: it is not loaded"
            )
    return None


def parse(server: str, chunk: Chunk, last_sequence: int) -> list[Read]:
    """The lines of a chunk, whose numbers follow `last_sequence`."""
    found, position = [], chunk.start
    for raw in chunk.raw.splitlines(keepends=True):
        try:
            line = _parse(server, raw, last_sequence)
        except contract.BadRequest as error:
            found.append(Read(position, raw, None, str(error)[:SHOWN]))
        else:
            found.append(Read(position, raw, line))
            last_sequence = line.sequence
        position += len(raw)
    return found


def _parse(server: str, raw: bytes, last_sequence: int) -> Line:
    """
    Raises:
        BadRequest: it is no message, or not the next one of its server.
    """
    value = contract.parse_json(raw)
    kind = KINDS.get(str(value.get("kind"))) if isinstance(value, dict) else None
    if kind is None:
        raise contract.BadRequest("it is neither a prediction nor feedback")
    line = kind.from_dict(value)
    if line.server != server:
        raise contract.BadRequest(f"it is of the server {line.server}")
    if line.sequence <= last_sequence:
        raise contract.BadRequest(f"it has the number {line.sequence} and comes after {last_sequence}")
    _time(line.at)
    return line


def _time(text: str) -> datetime.datetime:
    try:
        time = datetime.datetime.fromisoformat(text)
    except ValueError as error:
        raise contract.BadRequest(f"{text} is no time") from error
    if time.tzinfo is None:
        raise contract.BadRequest(f"{text} has no time zone")
    return time


def _record(connection: ledger.Connection, server: str, segment: int, read: Sequence[Read]) -> list[Read]:
    """Insert lines; of several that the ledger does not take together, each half by itself. Those that are refused."""
    refused = [one for one in read if one.line is None]
    try:
        with connection.transaction():
            _copy(connection, "served_predictions", PREDICTIONS, read, contract.ServedPrediction)
            _copy(connection, "served_feedback", FEEDBACK, read, contract.ServedFeedback)
            rows = [(server, segment, one.position, one.reason, one.raw) for one in refused]
            if rows:
                ledger.copy_rows(connection, "served_refused_lines", REFUSED, rows)
    except UNFIT as error:
        if len(refused) == len(read):
            raise
        half = len(read) // 2
        parts = [read[:half], read[half:]] if half else [[read[0]._replace(line=None, reason=_why(error))]]
        return [one for part in parts for one in _record(connection, server, segment, part)]
    return refused


def _why(error: Exception) -> str:
    said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return (said or str(error) or type(error).__name__)[:SHOWN]


def _copy(
    connection: ledger.Connection, table: str, columns: Sequence[str], read: Sequence[Read], kind: type[Line]
) -> None:
    values = operator.attrgetter(*columns)
    if rows := [_row(columns, values(one.line)) for one in read if isinstance(one.line, kind)]:
        ledger.copy_rows(connection, table, columns, rows)


def _row(columns: Sequence[str], values: Sequence[Any]) -> list[Any]:
    row = dict(zip(columns, values, strict=True))
    row["at"] = _time(row["at"])
    if row.get("probabilities") is not None:
        row["probabilities"] = list(row["probabilities"])
    return list(row.values())


def progress(connection: ledger.Connection, spools: Sequence[Path]) -> dict[str, Progress]:
    """How far each spool is loaded, by the name of its server; those of which nothing is are missing."""
    rows = ledger.fetch(connection, "select_spools", {"servers": [folder.name for folder in spools]})
    return {row.pop("server"): Progress(**row) for row in rows}


def has_more(folder: Path, loaded: Progress) -> bool:
    """Whether a spool has bytes that are not loaded: a look that reads nothing."""
    found = segments(folder)
    return any(
        path.stat().st_size > (loaded.bytes if segment == loaded.segment else 0)
        for segment, path in found.items()
        if segment >= loaded.segment
    )


def note_complete(server: str, alive: bool = True) -> None:
    """Record that nothing of a spool waits; or that nothing will, since its process is dead.

    Raises:
        Unreachable: the ledger does not answer.
    """
    with ledger.connect("serving") as connection:
        ledger.execute(connection, "note_complete_spool", {"server": server, "alive": alive})


def remove_loaded(folder: Path, loaded: Progress) -> None:
    """Remove the segments before the one that is being loaded."""
    for segment, path in segments(folder).items():
        if segment < loaded.segment:
            path.unlink(missing_ok=True)


def remove_dead(folder: Path, loaded: Progress) -> None:
    """Remove the spool of a process that is dead and of which every line is loaded."""
    for segment, path in segments(folder).items():
        start = loaded.bytes if segment == loaded.segment else 0
        if segment >= loaded.segment and (cut := path.stat().st_size - start) > 0:
            log.warning("%s ends with %d bytes of a line that was never answered: dropped", path, cut)
    note_complete(folder.name, alive=False)  # first: of what has no folder any more, nobody would say it
    shutil.rmtree(folder)
    log.info("the serving process %s has ended, and all its lines are loaded", folder.name)


def count_waiting(serving: Path) -> int:
    """Lines that were answered and are not loaded yet, of all spools.

    Raises:
        Unreachable: the ledger does not answer.
    """
    found = folders(serving)
    with ledger.connect("serving") as connection:
        loaded = progress(connection, found)
    return sum(_count(folder, loaded.get(folder.name, Progress())) for folder in found)


def _count(folder: Path, loaded: Progress) -> int:
    starts = {one: loaded.bytes if one == loaded.segment else 0 for one in segments(folder) if one >= loaded.segment}
    return sum(_lines(segments(folder)[segment], start) for segment, start in starts.items())


def _lines(path: Path, start: int) -> int:
    with contract.open_file(path) as file:
        file.seek(start)
        return sum(block.count(b"\n") for block in iter(lambda: file.read(BATCH_BYTES), b""))
