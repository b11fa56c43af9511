"""Label files: what each row of one says, or why it says nothing. Nothing here knows the ledger.

One line is one row, in CSV too, where quotes may enclose commas but no line break: so a broken row breaks no other.
"""

import csv
import datetime
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

from strandline.entries import DETAILS, HOUR, display_name
from strandline.label_places import places

SUFFIXES = {b".csv": "csv", b".jsonl": "jsonl", b".ndjson": "jsonl"}
COLUMNS = ("image_id", "entry_id", "path", "label", "labeller", "labelled_at")
IMAGE_COLUMNS = COLUMNS[:3]
UNUSABLE = "unusable"  # the label that says: none of the classes, or of no use
MAX_LINE = 64 * 1024  # bytes
MAX_LABELLER = 100  # characters
SHOWN = 200  # characters of a rejected row that are kept
FORMULA = ("=", "+", "-", "@")  # what a spreadsheet would run, were it to get hold of it
BOM = b"\xef\xbb\xbf"
IMAGE_ID = re.compile("[0-9a-f]{64}")
ENTRY_ID = re.compile("[0-9]{1,18}")
SURROGATE_OR_NUL = re.compile("[\ud800-\udfff\0]")

PACKED = (b".gz", b".zip", b".bz2", b".xz", b".zst", b".7z", b".tar", b".tgz")
REFUSALS = DETAILS | {
    "UNREADABLE": "It may not be opened; once it may, the next run reads it.",
    "PACKED": "It is compressed: unpack it.",
    "SIDECAR": "By its name it accompanies other files: nothing is lost.",
    "NOT_LABELS": "By its name it is no label file: those end in .csv or .jsonl.",
    "TOO_LARGE": "It is larger than STRANDLINE_LABEL_MAX_FILE_BYTES allows: split it.",
    "TOO_MANY_ROWS": "It has more rows than STRANDLINE_LABEL_MAX_ROWS allows: split it.",
    "EMPTY": "It has no rows.",
    "BAD_HEADER": "Its first line must name columns in UTF-8, separated by commas, each once: `label`, and at least"
    " one of `image_id`, `entry_id` and `path`.",
}


class Refused(Exception):
    """A file of which no row can be used."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = f"{REFUSALS[reason]} {detail}".strip()


class Row(NamedTuple):
    """One row of a file: an image, named in one of three ways, and its label; or the reason why it is rejected.

    `path_shown` is the path if it may be a name for people (`entries.display_name`), `places` are the other paths that
    it may stand for (`label_places.places`). `labelled_at` None stands for the time of the load, `shown` is the row,
    shortened.
    """

    line: int
    image_id: str | None = None
    entry_id: int | None = None
    drop_at: datetime.datetime | None = None
    path: bytes | None = None
    path_shown: str | None = None
    places: list[str] | None = None
    label: str | None = None
    labeller: str | None = None
    labelled_at: datetime.datetime | None = None
    reason: str | None = None
    shown: str | None = None


class _Rejected(Exception):
    """A row, with the reason code."""


def is_labeller(name: str) -> bool:
    """Whether a labeller may be called that."""
    return 0 < len(name) <= MAX_LABELLER and name.isprintable() and not name.startswith(FORMULA)


def default_labeller(name: bytes) -> str:
    """Who a row is by that does not say: its file, by name. So a file that is dropped again mends its own labels."""
    labeller = f"file:{display_name(name)}"
    return labeller if len(labeller) <= MAX_LABELLER else f"file:{hashlib.sha256(name).hexdigest()}"


class Reader:
    """The rows of an open file, read once and line by line; then `sha256` is that of its content.

    Args:
        kind: csv or jsonl.
        labeller: of rows that name none.
        classes: the labels that are valid, beside `unusable`.
        now: rows may be no more than an hour ahead of it.
        max_rows: of a file with more, none is used.
    """

    def __init__(
        self,
        file: BinaryIO,
        kind: str,
        labeller: str,
        classes: Collection[str],
        now: datetime.datetime,
        max_rows: int,
    ) -> None:
        self._file = file
        self._kind = kind
        self._labeller = labeller
        self._labels = {name: name for name in classes}
        self._labels.setdefault(UNUSABLE, "")
        self._latest = now + HOUR
        self._max_rows = max_rows
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def rows(self) -> Iterator[Row]:
        """
        Raises:
            Refused: no row can be used, whatever was yielded before.
        """
        lines = self._lines()
        header = self._header(lines) if self._kind == "csv" else []
        count = 0
        for count, (number, line) in enumerate(lines, start=1):
            if count > self._max_rows:
                raise Refused("TOO_MANY_ROWS")
            try:
                yield self._row(number, line, header)
            except _Rejected as rejected:
                yield Row(number, reason=str(rejected), shown=_shown(line))
        if not count:
            raise Refused("EMPTY")

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """Number and content of each line that is not blank; of one that is too long, more than MAX_LINE bytes."""
        number = 0
        while line := self._file.readline(MAX_LINE + 2):
            number += 1
            self._digest.update(line)
            rest = line
            while not rest.endswith(b"\n") and (rest := self._file.readline(MAX_LINE)):
                self._digest.update(rest)
            if number == 1:
                line = line.removeprefix(BOM)
            if line := line.removesuffix(b"\n").removesuffix(b"\r"):
                yield number, line

    def _header(self, lines: Iterator[tuple[int, bytes]]) -> list[str]:
        """The names of the columns."""
        _, line = next(lines, (0, b""))
        if not line:
            raise Refused("EMPTY")
        try:
            names = [cell.strip().lower() for cell in _cells(_text(line))]
        except _Rejected as rejected:
            raise Refused("BAD_HEADER", f"It is: {_shown(line)}") from rejected
        known = [name for name in names if name in COLUMNS]
        if len(set(known)) < len(known) or "label" not in known or not set(known) & set(IMAGE_COLUMNS):
            raise Refused("BAD_HEADER", f"It is: {_shown(line)}")
        return names

    def _row(self, number: int, line: bytes, header: Sequence[str]) -> Row:
        text = _text(line)
        values: Mapping[str, Any]
        if self._kind == "csv":
            cells = _cells(text)
            if len(cells) != len(header):
                raise _Rejected("COLUMNS")
            values = dict(zip(header, cells, strict=True))
        else:
            values = _members(text)
        label = self._labels.get((values.get("label") or "").strip())
        if label is None:
            raise _Rejected("UNKNOWN_CLASS")
        labeller = (values.get("labeller") or "").strip()
        if labeller and not is_labeller(labeller):
            raise _Rejected("BAD_LABELLER")
        labelled_at = self._time(values.get("labelled_at") or "")
        row = Row(number, label=label, labeller=labeller or self._labeller, labelled_at=labelled_at)
        return _name_image(row, values, line)

    def _time(self, text: str) -> datetime.datetime | None:
        if not text.strip():
            return None
        try:
            time = datetime.datetime.fromisoformat(text.strip())
            if time.tzinfo is not None and time <= self._latest:
                return time.astimezone(datetime.UTC)
        except (ValueError, OverflowError):
            pass
        raise _Rejected("BAD_TIME")


def _text(line: bytes) -> str:
    if len(line) > MAX_LINE:
        raise _Rejected("ROW_TOO_LONG")
    if b"\0" in line:  # which no text of Postgres may have
        raise _Rejected("BAD_TEXT")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise _Rejected("BAD_TEXT") from None


def _cells(text: str) -> list[str]:
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error:
        raise _Rejected("BAD_CSV") from None


def _members(text: str) -> dict[str, Any]:
    """The known members of a JSON object: texts, or None; an entry may be a number."""
    try:
        found = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError):  # nested too deep; a number of too many digits is a ValueError
        raise _Rejected("BAD_JSON") from None
    if not isinstance(found, dict):
        raise _Rejected("BAD_JSON")
    values = {name: found.get(name) for name in COLUMNS}
    if type(values["entry_id"]) is int:
        values["entry_id"] = str(values["entry_id"])
    for value in values.values():
        if value is not None and not isinstance(value, str):
            raise _Rejected("BAD_JSON")
        if value and SURROGATE_OR_NUL.search(value):
            raise _Rejected("BAD_TEXT")
    return values


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Rejected("DUPLICATE_KEY")
    return found


def _name_image(row: Row, values: Mapping[str, Any], line: bytes) -> Row:
    """By the first of hash, entry and path that the row fills in."""
    if image_id := (values.get("image_id") or "").strip().lower():
        if IMAGE_ID.fullmatch(image_id):
            return row._replace(image_id=image_id)
    elif entry_id := (values.get("entry_id") or "").strip():
        if ENTRY_ID.fullmatch(entry_id):
            return row._replace(entry_id=int(entry_id))
    elif path := values.get("path"):
        hour, ends = places(path)
        path_shown = path if "\\" in path else None
        return row._replace(drop_at=hour, path=path.encode(), path_shown=path_shown, places=ends, shown=_shown(line))
    raise _Rejected("BAD_IMAGE")


def _shown(line: bytes) -> str:
    """What a person is shown of a line: no control characters, cut."""
    text = display_name(line[: SHOWN + 1])
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
