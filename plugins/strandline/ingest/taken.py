"""The entries that a run takes up, put into an order on the disk: so that memory does not grow with the run."""

import collections
import heapq
import operator
import pickle
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from strandline.scan import Entry

BLOCK = 500  # entries that are read at a time of each sorted part
BY_NAME = operator.attrgetter("name", "version")


class Taken:
    """Entries in the order of their names and versions, each once; a context manager that removes them.

    They are added in any order, then sorted, then read as often as needed (an external merge sort: Knuth, "The Art of
    Computer Programming", volume 3, 5.4).
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="taken-")
        self._parts: list[Path] = []  # once sorted, there is one
        self._written = 0
        self.ends: collections.Counter[tuple[str | None, str | None]] = collections.Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def add(self, entries: Iterable[Entry]) -> None:
        """As many as memory may hold."""
        self._write(sorted(set(entries), key=BY_NAME))

    def sort(self) -> None:
        """After the last was added; then `ends` has how many there are by state and reason."""
        parts, self._parts = self._parts, []
        self._write(self._counted(heapq.merge(*map(_read, parts), key=BY_NAME)))
        for path in parts:
            path.unlink()

    def __len__(self) -> int:
        return self.ends.total()

    def __iter__(self) -> Iterator[Entry]:
        (whole,) = self._parts
        return _read(whole)

    def _counted(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        before = None
        for entry in entries:
            if entry != before:
                self.ends[entry.state, entry.reason] += 1
                yield entry
            before = entry

    def _write(self, entries: Iterable[Entry]) -> None:
        self._written += 1
        path = Path(self._folder.name) / str(self._written)
        block: list[Entry] = []
        with path.open("wb") as file:
            for entry in entries:
                block.append(entry)
                if len(block) == BLOCK:
                    pickle.dump(block, file)
                    block = []
            pickle.dump(block, file)
        self._parts.append(path)


def _read(path: Path) -> Iterator[Entry]:
    with path.open("rb") as file:
        while True:
            try:
                yield from pickle.load(file)
            except EOFError:
                return
