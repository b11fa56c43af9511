"""The entries of the landing zone: each file that lies there, and what its name and its metadata say of it.

Names are bytes, whatever is in them: they are compared and stored, never interpreted. No file is opened here.
"""

import dataclasses
import datetime
import functools
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import strandline_contract as contract
from strandline import periods, settings
from strandline.periods import EPOCH
from strandline_contract.reasons import STATUS_OF

HOUR = datetime.timedelta(hours=1)
HOUR_NS = 3600 * 10**9


def _moment(iso: bytes, firehose: bytes, hive: bytes) -> re.Pattern[bytes]:
    """A moment, as the first folders of a path. Its groups are in order: year, month, day, and hour and minute if any.

    Args:
        iso: what follows the date in ISO 8601.
        firehose: the folders that follow it in Firehose's form.
        hive: the folders that follow it in Hive's form.
    """
    return re.compile(
        rb"(?:(\d{4})-(\d\d)-(\d\d)%b"
        rb"|(\d{4})(\d\d)(\d\d)%b"
        rb"|(\d{4})/(\d\d)/(\d\d)%b"
        rb"|dt=(\d{4})-(\d\d)-(\d\d)%b"
        rb"|year=(\d{4})/month=(\d\d?)/day=(\d\d?)%b)/" % (iso, iso, firehose, hive, hive)
    )


TIME = rb"T(\d\d)(?::?([0-5]\d)(?::?[0-5]\d)?)?Z?"
MINUTE = rb"(?:/minute=([0-5]?\d))?"
HOUR_FOLDER = _moment(TIME, rb"/(\d\d)", rb"/hour=(\d\d?)")
MINUTE_FOLDER = _moment(TIME, rb"/(\d\d)", rb"/hour=(\d\d?)" + MINUTE)
# Of a day, what is no hour (the 45th) is a folder like any other.
DAY_FOLDER = _moment(b"(?:%b)?" % TIME, rb"(?:/([01]\d|2[0-3]))?", rb"(?:/hour=([01]?\d|2[0-3])%b)?" % MINUTE)

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
MAX_DEPTH = 500  # each level holds a file descriptor, and a process commonly has 1,024
MAX_NAME_BYTES = 4096  # PATH_MAX

UNREADABLE = "-unreadable"  # behind the version of what cannot be read now: once it can be, it is a new version
HIDDEN = re.compile(rb"(?:^|/)\.(?!\.?(?:/|$))")  # a name that begins with a dot; `.` and `..` are names in a bucket
PARTIAL_SUFFIXES = (b".tmp", b".part", b".partial", b".crdownload", b".filepart", b"~")
SIDECAR_NAMES = frozenset({b"thumbs.db", b"desktop.ini", b".ds_store", b"readme", b"_success"})
SIDECAR_PREFIX = b"._"  # macOS writes one beside each file that it copies
SIDECAR_SUFFIXES = (
    *(b".json", b".jsonl", b".txt", b".csv", b".tsv", b".xml", b".yaml", b".yml", b".parquet", b".md", b".rst"),
    *(b".ini", b".log", b".lnk", b".md5", b".sha1", b".sha256", b".done"),
)

DETAILS = {
    "SYMLINK": "A symbolic link is never followed; put the file itself here.",
    "SPECIAL": "This is a pipe, a socket or a device, not a file.",
    "OTHER_DEVICE": "This lies on another file system, mounted into the landing zone; put the files themselves here.",
    "NAME_TOO_LONG": f"The path has over {MAX_NAME_BYTES} bytes or {MAX_DEPTH} folders; nothing beneath it was listed.",
    "DIR": "This object has no bytes and a name that ends with a slash: some tools make such ones for folders.",
    "UNREADABLE": "This cannot be opened now: a folder without the right, or an object in an archive. Once it can, the"
    " next run takes it up.",
    "NOT_IMAGE": "By its name, this is a file that accompanies images.",
    "PARTIAL_NAME": "By its name, this was never finished; rename it if it is whole.",
    "TOO_LARGE": "The file is larger than STRANDLINE_MAX_FILE_BYTES allows.",
}


class LandingError(Exception):
    """The landing zone cannot be read; the message says what to do."""


class Entry(NamedTuple):
    """One listed file: drop, path relative to the landing zone, version tag, size in bytes, mtime in ns.

    `state` is None for one that goes into a shard; `rejected` or `quarantined`, with a reason code, for one that ends
    here; `deferred` for one that is left for the next run, `future` for one whose drop has not begun: recorded nowhere.
    """

    drop: datetime.datetime
    name: bytes
    version: str
    size: int
    mtime_ns: int
    state: str | None = None
    reason: str | None = None

    @property
    def path_label(self) -> str | None:
        return path_label(self.name)

    @property
    def source(self) -> str:
        """As people see it; '' is none. An entry that is no file, as a link, may be the folder of the period itself."""
        path = self.name + b"/"
        return display_name(source(path)) if path_period(path) == self.drop else ""

    @property
    def modified_at(self) -> datetime.datetime:
        """The mtime, or the nearest time that there is a date for."""
        try:
            return EPOCH + datetime.timedelta(microseconds=self.mtime_ns // 1000)
        except OverflowError:
            return (datetime.datetime.min if self.mtime_ns < 0 else datetime.datetime.max).replace(tzinfo=datetime.UTC)

    @property
    def display_name(self) -> str:
        return display_name(self.name)


def path_label(name: bytes) -> str | None:
    """The one folder between the period (without one, the landing zone) and the file, if it is exactly one. What is not
    UTF-8 is escaped, and so no class.
    """
    return _label(name.rpartition(b"/")[0] + b"/", settings.get().ingest.period)


def source(name: bytes) -> bytes:
    """Where a file comes from, as a camera or a shop: the one folder before its period; empty without one."""
    match = _period_folder(name)
    return name[: match.start()].rstrip(b"/") if match and path_period(name) else b""


def judged_folder(name: bytes) -> bytes:
    """The folder of a drop that a file is judged with: the path of the first one below the period, else of the
    period's; without a period, of the first folder of all.
    """
    drop = drop_folder(name)
    first, slash, _ = name[len(drop) :].partition(b"/")
    return drop + first if slash else drop.rstrip(b"/")


def display_name(name: bytes) -> str:
    """The name for people: what is not UTF-8 or not printable (control, bidi, zero-width) is escaped."""
    text = name.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def scan(
    root: Path, takes: Callable[[datetime.datetime], bool], now_ns: int, max_bytes: int | None = None
) -> Iterator[Entry]:
    """Every entry of the drops that `takes` accepts, in any order, and what lies in periods that have not begun, as
    entries of the state `future`. Symlinks are not followed.

    Args:
        max_bytes: of a file, instead of the setting.

    Raises:
        LandingError: there is no landing zone, or it cannot be opened.
        OSError: a folder cannot be listed to its end: a listing is whole, or it fails.
    """
    try:
        top = os.open(root, FOLDER)
    except OSError as error:
        raise LandingError(
            f"the landing zone cannot be read ({error}): create it, or set STRANDLINE_LANDING"
        ) from error
    rules = Rules.of(takes, now_ns, max_bytes)
    scanner = _Scanner(**vars(rules), device=os.fstat(top).st_dev, fields=rules.settings.ingest.kept_fields)
    levels = [_Level(top, b"", None)]
    try:
        while levels:
            level = levels[-1]
            if level.folders is None:
                level.folders = []
                yield from scanner.files(level)
            elif level.folders:
                found = scanner.enter(level, level.folders.pop(), len(levels))
                if isinstance(found, _Level):
                    levels.append(found)
                elif found:
                    yield found
            else:
                os.close(levels.pop().fd)
    finally:
        for level in levels:
            os.close(level.fd)


@dataclasses.dataclass
class _Level:
    """An open folder: the path of what is in it begins with `prefix`; `folders` are those still to be entered."""

    fd: int
    prefix: bytes
    period: datetime.datetime | None
    folders: list[bytes] | None = None


class Found(NamedTuple):
    """What a listing says of a file: path, version tag, size in bytes; when it was changed and when it came, in ns
    since 1970.
    """

    name: bytes
    version: str
    size: int
    mtime_ns: int
    landed_ns: int


@dataclasses.dataclass(frozen=True)
class Rules:
    """What becomes of what lies in a landing zone, folder or bucket, by its name, its size and its times alone.

    Args:
        seconds: of a period.
    """

    takes: Callable[[datetime.datetime], bool]
    now_ns: int
    settings: settings.Settings
    seconds: int
    max_bytes: int

    @classmethod
    def of(cls, takes: Callable[[datetime.datetime], bool], now_ns: int, max_bytes: int | None = None) -> Self:
        """Those of the settings; `max_bytes` stands in for theirs."""
        config = settings.get()
        seconds = int(config.ingest.period_length.total_seconds())
        return cls(takes, now_ns, config, seconds, max_bytes or config.decoding.max_file_bytes)

    def to_come(self, drop: datetime.datetime) -> bool:
        return (drop - EPOCH) // datetime.timedelta(microseconds=1) * 1000 > self.now_ns

    def state(self, found: Found) -> tuple[str | None, str | None]:
        """State and reason of a file; (None, None) for one that may be an image."""
        # Both ways: a clock that was wrong, here or there, must not hold a file back for long.
        if abs(self.now_ns - found.mtime_ns) < self.settings.ingest.stable_seconds * 10**9:
            return "deferred", None
        if len(found.name) > MAX_NAME_BYTES:
            return refused("NAME_TOO_LONG")
        leaf = found.name.rpartition(b"/")[2].lower()
        if leaf in SIDECAR_NAMES or leaf.startswith(SIDECAR_PREFIX) or leaf.endswith(SIDECAR_SUFFIXES):
            return refused("NOT_IMAGE")
        if leaf.endswith(PARTIAL_SUFFIXES) or HIDDEN.search(found.name):
            old = self.now_ns - found.landed_ns >= self.settings.ingest.partial_name_hours * HOUR_NS
            return refused("PARTIAL_NAME") if old else ("deferred", None)
        if found.size > self.max_bytes:
            return refused("TOO_LARGE")
        return None, None

    def entry(
        self, found: Found, period: datetime.datetime | None, state: str | None, reason: str | None
    ) -> Entry | None:
        """The entry of a file; None if its drop is not taken. `period` is the one that its path names."""
        drop = period or _drop(found.landed_ns // 10**9 // self.seconds, self.seconds)
        if not self.takes(drop):
            if not self.to_come(drop):
                return None
            state, reason = "future", None
        return Entry(drop, found.name, found.version, found.size, found.mtime_ns, state, reason)


@dataclasses.dataclass(frozen=True)
class _Scanner(Rules):
    """Those of a folder. `fields` are what its file system keeps, as `contract.version_tag` has them."""

    device: int
    fields: frozenset[str]

    def files(self, level: _Level) -> Iterator[Entry]:
        """The entries that lie directly in a folder; its folders are noted for later."""
        assert level.folders is not None
        with os.scandir(level.fd) as found:
            for item in found:
                leaf = os.fsencode(item.name)
                try:
                    if item.is_dir(follow_symlinks=False):
                        level.folders.append(leaf)
                        continue
                    status = item.stat(follow_symlinks=False)
                except FileNotFoundError:  # gone since the folder was read: there is nothing to account for
                    continue
                if entry := self.file(level, leaf, status):
                    yield entry

    def enter(self, level: _Level, leaf: bytes, depth: int) -> "_Level | Entry | None":
        """A folder, opened; or one entry for all of it, if it may not be; or None, if its drop is not taken."""
        name = level.prefix + leaf
        period = path_period(name + b"/")
        # An hour's folder may have those of its minutes in it, which are other drops.
        whole = self.seconds >= HOUR.seconds or not leaf.startswith(b"hour=")
        if period and whole and not self.takes(period) and not self.to_come(period):
            return None
        try:
            status = os.stat(leaf, dir_fd=level.fd, follow_symlinks=False)
            if not stat.S_ISDIR(status.st_mode) or status.st_dev != self.device:
                return self.file(level, leaf, status)
            if depth >= MAX_DEPTH or len(name) > MAX_NAME_BYTES:
                return self._whole(name, status, period, "NAME_TOO_LONG")
            if os.access(leaf, os.R_OK | os.X_OK, dir_fd=level.fd):
                return _Level(os.open(leaf, FOLDER | os.O_NOFOLLOW, dir_fd=level.fd), name + b"/", period)
        except (FileNotFoundError, NotADirectoryError):  # replaced this very moment: the next run sees by what
            return None
        return self._whole(name, status, period, "UNREADABLE")

    def file(self, level: _Level, leaf: bytes, status: os.stat_result) -> Entry | None:
        """What one path is, by its stat alone."""
        name = level.prefix + leaf
        if stat.S_ISLNK(status.st_mode):
            return self._whole(name, status, path_period(name + b"/"), "SYMLINK")
        if status.st_dev != self.device:
            return self._whole(name, status, path_period(name + b"/"), "OTHER_DEVICE")
        if not stat.S_ISREG(status.st_mode):
            return self._whole(name, status, level.period, "SPECIAL")
        found = self._found(name, status)
        state, reason = self.state(found)
        if state is None and not os.access(leaf, os.R_OK, dir_fd=level.fd):
            found = found._replace(version=found.version + UNREADABLE)
        return self.entry(found, level.period, state, reason)

    def _whole(self, name: bytes, status: os.stat_result, period: datetime.datetime | None, code: str) -> Entry | None:
        """The one entry of what is not looked into."""
        found = self._found(name, status)
        if code == "UNREADABLE":
            found = found._replace(version=found.version + UNREADABLE)
        return self.entry(found, period, *refused(code))

    def _found(self, name: bytes, status: os.stat_result) -> Found:
        # A file from the future came when the kernel last touched it.
        landed = max(0, min(status.st_mtime_ns, status.st_ctime_ns))
        return Found(name, contract.version_tag(status, self.fields), status.st_size, status.st_mtime_ns, landed)


def refused(code: str) -> tuple[str, str]:
    """State and reason of an entry that is not opened."""
    return STATUS_OF[code], code


def _period_folder(path: bytes) -> re.Match[bytes] | None:
    """What looks like a moment at the beginning of a path; else behind its first folder, which then is the source."""
    return _moment_of(path[: path.rfind(b"/") + 1], periods.get())[0]


def path_period(path: bytes) -> datetime.datetime | None:
    """The period of the moment that the first folders of a path name, behind its source or without one, if they do."""
    return _moment_of(path[: path.rfind(b"/") + 1], periods.get())[1]


@functools.lru_cache
def _moment_of(folder: bytes, period: periods.Period) -> tuple[re.Match[bytes] | None, datetime.datetime | None]:
    """The moment of a folder, with its slash: where it is said, and the period in which it lies, if there is one."""
    pattern = _folder(period.length)
    match = pattern.match(folder) or pattern.match(folder, folder.find(b"/") + 1)
    if not match:
        return None, None
    year, month, day, hour, minute, *_ = (*(int(group) for group in match.groups() if group), 0, 0)
    try:
        return match, period.floor(datetime.datetime(year, month, day, hour, minute, tzinfo=datetime.UTC))
    except ValueError:  # the 45th of a month: a folder like any other
        return match, None


def drop_folder(name: bytes) -> bytes:
    """The folders that name the source and the period of a path, with their slashes; none if it names none."""
    match = _period_folder(name)
    return name[: match.end()] if match and path_period(name) else b""


def _folder(length: datetime.timedelta) -> re.Pattern[bytes]:
    return HOUR_FOLDER if length == HOUR else MINUTE_FOLDER if length < HOUR else DAY_FOLDER


def depth(name: bytes) -> int:
    """How many folders lie between the period of a path, or the landing zone, and the file."""
    return name.count(b"/", len(drop_folder(name)))


def class_of(label: str | None, classes: Sequence[str]) -> str | None:
    """The class that a folder's name means: its own, or the only one that differs in case alone; else the name."""
    if label is None or label in classes:
        return label
    alike = [name for name in classes if name.casefold() == label.casefold()]
    return alike[0] if len(alike) == 1 else label


@functools.lru_cache
def _label(folder: bytes, period: str) -> str | None:
    """Of a folder with its slash; what it begins with depends on the period."""
    label, slash, deeper = folder[len(drop_folder(folder)) :].partition(b"/")
    return label.decode("utf-8", "backslashreplace") if label and slash and not deeper else None


@functools.lru_cache
def _drop(number: int, seconds: int) -> datetime.datetime:
    return EPOCH + datetime.timedelta(seconds=number * seconds)
