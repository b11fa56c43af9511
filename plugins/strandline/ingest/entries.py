"""What became of a run's entries, a group of shards at a time; the others lie on the disk, so that memory does not grow
with the run.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import pyarrow as pa


class Entries:
    """Tables with the same columns, and a row an entry; a context manager that removes them."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="entries-")
        self._ends: list[int] = []  # of each group, in rows of all

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def add(self, group: Any) -> None:
        with pa.OSFile(str(self._path(len(self._ends))), "wb") as file, pa.ipc.new_file(file, group.schema) as writer:
            writer.write_table(group)
        self._ends.append(len(self) + len(group))

    def groups(self) -> Iterator[Any]:
        """In the order in which they were added."""
        for number in range(len(self._ends)):
            with pa.memory_map(str(self._path(number))) as file:
                yield pa.ipc.open_file(file).read_all()

    def take(self, rows: Sequence[int]) -> Any:
        """Some rows, by their numbers among all, in the order of these; of none, those of an empty group."""
        chosen, start = sorted(set(rows)), 0
        found = []
        for group, end in zip(self.groups(), self._ends, strict=True):
            here = [row - start for row in chosen if start <= row < end]
            found.append(group.take(pa.array(here, pa.int64())).combine_chunks())
            start = end
        places = {row: place for place, row in enumerate(chosen)}
        return pa.concat_tables(found).take(pa.array([places[row] for row in rows], pa.int64()))

    def _path(self, number: int) -> Path:
        return Path(self._folder.name) / f"{number}.arrow"
