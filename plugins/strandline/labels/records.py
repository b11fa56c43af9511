"""The records of a label file, as whatever program wrote it: what each says by column, or why it says nothing.

Nothing here knows what a label or an image is. All is read once and in bounded memory, whatever is in it.
"""

import codecs
import collections
import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

CHUNK = 64 * 1024  # bytes
MAX_LINE = 64 * 1024  # bytes of a record, or line
MAX_OBJECT = 2**20  # characters of an object in an array: a task of Label Studio has more than its label
DELIMITERS = (",", ";", "\t")
SEPARATOR = re.compile('"?sep=([,;\t])"?')  # Excel's first line
BOMS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class Rejected(Exception):
    """A record, with the reason code."""


class Unusable(Exception):
    """A file of which no record can be read, with the reason code, and what was found."""


class Record(NamedTuple):
    """Its number, what it says by column, and its bytes; `reason` if it says nothing."""

    number: int
    values: dict[str, Any]
    line: bytes
    reason: str | None = None


class Source(io.RawIOBase):
    """The bytes of a file in UTF-8 and without a byte order mark; `digest` is of the bytes as they are."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = b""
        self._recode: Callable[[bytes], bytes] | None = None
        self.digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            chunk = self._file.read(CHUNK)
            self.digest.update(chunk)
            if self._recode is None:
                chunk = self._begin(chunk)
            if not chunk and self._recode is _same:
                return 0
            self._left = self._recode(chunk) if self._recode else b""
            if not chunk and not self._left:
                return 0
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size

    def _begin(self, chunk: bytes) -> bytes:
        """The first chunk without its byte order mark, which says how to read on."""
        mark = next((mark for mark in BOMS if chunk.startswith(mark)), b"")
        self._recode = _same if BOMS.get(mark, "utf-8") == "utf-8" else _recoder(BOMS[mark])
        return chunk[len(mark) :]


def _same(chunk: bytes) -> bytes:
    return chunk


def _recoder(encoding: str) -> Callable[[bytes], bytes]:
    """Of chunks, an empty one last. Half a character becomes bytes that are not UTF-8: its record is rejected."""
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")

    def recode(chunk: bytes) -> bytes:
        try:
            return decoder.decode(chunk, final=not chunk).encode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            decoder.reset()
            return b"\xff"

    return recode


def lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Number and content of each line that is not blank; of one that is too long, more than MAX_LINE bytes."""
    number = 0
    while line := file.readline(MAX_LINE + 2):
        number += 1
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(MAX_LINE)):
            pass
        if line := line.removesuffix(b"\n").removesuffix(b"\r"):
            yield number, line


# Tables


def table(file: BinaryIO, fits: Callable[[Sequence[str]], bool]) -> Iterator[Record]:
    """The rows of a table, by the names of its columns, in lower case and with `_` for spaces and dashes.

    Its delimiter is the first with which the names in the first line fit. Quotes may enclose it, and line breaks.
    A quote that is not closed, or gives a row another width, rejects its own line alone.

    Raises:
        Unusable: with none they fit.
    """
    found = _Lines(lines(file))
    _, line = found.take() or (0, b"")
    delimiters: Sequence[str] = DELIMITERS
    if separator := SEPARATOR.fullmatch(line.decode(errors="replace")):
        delimiters = (separator[1],)
        _, line = found.take() or (0, b"")
    if not line:
        raise Unusable("EMPTY")
    for delimiter in delimiters:
        try:
            header = [column(cell) for cell in _cells(line, delimiter)]
        except Rejected:
            continue
        if fits(header):
            yield from _rows(found, delimiter, header)
            return
    raise Unusable("BAD_HEADER", line)


def column(name: str) -> str:
    return re.sub(r"[\s-]+", "_", name.strip().lower())


class _Lines:
    """Lines, some of which may be put back."""

    def __init__(self, source: Iterator[tuple[int, bytes]]) -> None:
        self._source = source
        self._back: collections.deque[tuple[int, bytes]] = collections.deque()

    def take(self) -> tuple[int, bytes] | None:
        return self._back.popleft() if self._back else next(self._source, None)

    def put_back(self, taken: Sequence[tuple[int, bytes]]) -> None:
        self._back.extendleft(reversed(taken))


def _rows(found: _Lines, delimiter: str, header: Sequence[str]) -> Iterator[Record]:
    while taken := found.take():
        number, line = taken
        reason = None
        try:
            cells = _fitted(_cells(line, delimiter), len(header))
        except Rejected as rejected:
            cells, reason = [], str(rejected)
            if reason == "BAD_CSV" and (longer := _continued(found, line, delimiter, len(header))):
                (line, cells), reason = longer, None
        if reason:
            yield Record(number, {}, line, reason)
        elif any(cell.strip() for cell in cells):  # spreadsheets write rows of nothing
            yield Record(number, dict(zip(header, cells, strict=True)), line)


def _continued(found: _Lines, line: bytes, delimiter: str, width: int) -> tuple[bytes, list[str]] | None:
    """The row that begins with a line in which a quote is not closed, or None, and then no further line is taken."""
    parts, taken, is_open, size = [line], [], line.count(b'"') % 2, len(line)
    while is_open and (after := found.take()):
        taken.append(after)
        parts.append(after[1])
        size += 1 + len(after[1])
        is_open ^= after[1].count(b'"') % 2
        if size > MAX_LINE:
            break
    try:
        if not is_open and taken:
            joined = b"\n".join(parts)
            return joined, _fitted(_cells(joined, delimiter), width)
    except Rejected:
        pass
    found.put_back(taken)
    return None


def _fitted(cells: list[str], width: int) -> list[str]:
    """Cells without the empty ones that a spreadsheet adds at the end."""
    while len(cells) > width and not cells[-1].strip():
        cells.pop()
    if len(cells) != width:
        raise Rejected("COLUMNS")
    return cells


def _cells(line: bytes, delimiter: str) -> list[str]:
    text = _text(line)
    if '"' not in text:
        return text.split(delimiter)
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error:
        raise Rejected("BAD_CSV") from None


def _text(line: bytes) -> str:
    if len(line) > MAX_LINE:
        raise Rejected("ROW_TOO_LONG")
    if b"\0" in line:  # which no text of Postgres may have
        raise Rejected("BAD_TEXT")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise Rejected("BAD_TEXT") from None


# JSON


class _Json:
    """A decoder of objects; `doubled` once one had a key twice."""

    def __init__(self) -> None:
        self.doubled = False
        self._decoder = json.JSONDecoder(object_pairs_hook=self._object)

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        self.doubled = self.doubled or len(found) < len(pairs)
        return found

    def decode(self, text: str, start: int = 0) -> tuple[Any, int]:
        """A value, and where it ends.

        Raises:
            ValueError: there is none; it is nested too deep, or has a number of too many digits.
        """
        self.doubled = False
        try:
            return self._decoder.raw_decode(text, start)
        except RecursionError:
            raise ValueError("nested too deep") from None

    def record(self, number: int, value: Any, line: bytes) -> Record:
        reason = "BAD_JSON" if not isinstance(value, dict) else "DUPLICATE_KEY" if self.doubled else None
        return Record(number, {}, line, reason) if reason else Record(number, value, line)


def json_lines(file: BinaryIO) -> Iterator[Record]:
    """One object a line."""
    decoder = _Json()
    for number, line in lines(file):
        try:
            text = _text(line).strip()
            value, end = decoder.decode(text)
            if end < len(text):
                raise Rejected("BAD_JSON")
        except (Rejected, ValueError) as error:
            yield Record(number, {}, line, str(error) if isinstance(error, Rejected) else "BAD_JSON")
        else:
            yield decoder.record(number, value, line)


def json_array(file: BinaryIO) -> Iterator[Record]:
    """The objects of an array, numbered from 1, each decoded by itself.

    Raises:
        Unusable: it is no array of objects to its end.
    """
    window = _Window(io.TextIOWrapper(file, "utf-8", newline=""))
    decoder = _Json()
    window.expect("[")
    number = 0
    while window.peek() != "]":
        if number:
            window.expect(",")
        number += 1
        if window.peek() != "{":
            raise Unusable("BAD_JSON")
        value, text = window.decode(decoder)
        yield decoder.record(number, value, text.encode(errors="replace"))
    window.expect("]")
    if window.peek():
        raise Unusable("BAD_JSON")


class _Window:
    """A text, of which no more than an object is held."""

    def __init__(self, file: io.TextIOWrapper) -> None:
        self._file = file
        self._text = ""
        self._start = 0

    def _more(self) -> bool:
        try:
            read = self._file.read(max(CHUNK, len(self._text) - self._start))
        except UnicodeDecodeError:
            raise Unusable("BAD_JSON") from None
        self._text, self._start = self._text[self._start :] + read, 0
        return bool(read)

    def peek(self) -> str:
        """The next character that is no space, or nothing."""
        while True:
            while self._start < len(self._text):
                if not self._text[self._start].isspace():
                    return self._text[self._start]
                self._start += 1
            if not self._more():
                return ""

    def expect(self, character: str) -> None:
        if self.peek() != character:
            raise Unusable("BAD_JSON")
        self._start += 1

    def decode(self, decoder: _Json) -> tuple[Any, str]:
        """The next value, and its text."""
        while True:
            try:
                value, end = decoder.decode(self._text, self._start)
            except ValueError:
                if len(self._text) - self._start > MAX_OBJECT or not self._more():
                    raise Unusable("BAD_JSON") from None
                continue
            text, self._start = self._text[self._start : end], end
            return value, text
