"""The lines of what was answered, written before it is: what the agent beside this process loads into the ledger.

A line is in the system's memory when `append` returns, so that no end of this process loses it; it is on the disk some
moments later, by a thread of the spool's own. A segment is closed once it is large, or once nothing came for a second.
"""

import contextlib
import fcntl
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson

import strandline_contract as contract
from strandline_contract.messages import Message

SEGMENT_BYTES = 8 * 2**20
IDLE_SECONDS = 1.0
SYNC_SECONDS = 0.2

Record = Callable[[int], Message]  # a line, once its number is known


class Spool:
    """Belongs to one process, by its lock; any thread may append.

    Raises:
        OSError: another process has the name, or the folder cannot be written.
    """

    def __init__(self, folder: Path, server: str) -> None:
        self.folder = folder / contract.SPOOLS_FOLDER / server
        self.folder.mkdir(parents=True)  # a name that was used before would number its lines again
        self._lock_file = os.open(self.folder / contract.LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._lock = threading.Lock()
        self._segment: int | None = None
        self._size = 0
        self._next = 1
        self._wrote_at = 0.0
        self._dirty = False
        self._ended: list[int] = []  # descriptors of closed segments, to be put on the disk
        self._closed = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="spool", daemon=True)
        self._keeper.start()

    @property
    def lines(self) -> int:
        """Written so far."""
        return self._next - 1

    def backlog(self) -> tuple[int, int]:
        """Segments that lie there, and their bytes."""
        sizes = []
        for path in self.folder.glob("*.jsonl"):
            with contextlib.suppress(FileNotFoundError):  # the agent has loaded it
                sizes.append(path.stat().st_size)
        return len(sizes), sum(sizes)

    def append(self, records: Sequence[Record]) -> list[Message]:
        """The lines, once all are written, one after the other.

        Raises:
            OSError: not all of them are. Those that are whole stay, since they may have been loaded already.
        """
        with self._lock:
            made = [record(number) for number, record in enumerate(records, self._next)]
            self._write(b"".join(orjson.dumps(message) + b"\n" for message in made))
            self._next += len(made)
        return made

    def close(self) -> None:
        self._closed.set()
        self._keeper.join()
        with self._lock:
            self._end_segment()
        self._sync()
        os.close(self._lock_file)

    def _write(self, lines: bytes) -> None:
        if self._segment is None:
            self._begin_segment()
        assert self._segment is not None
        written = 0
        try:
            while written < len(lines):
                written += os.write(self._segment, lines[written:])
        except OSError:
            self._cut(lines[:written])
            raise
        self._size += len(lines)
        self._wrote_at, self._dirty = time.monotonic(), True
        if self._size >= SEGMENT_BYTES:
            self._end_segment()

    def _cut(self, written: bytes) -> None:
        """Leave no half line, which the next one would continue."""
        assert self._segment is not None
        self._size += written.rfind(b"\n") + 1
        self._next += written.count(b"\n")
        os.ftruncate(self._segment, self._size)
        self._end_segment()

    def _begin_segment(self) -> None:
        path = self.folder / f"{self._next:012}.jsonl"
        self._segment = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._size = 0

    def _end_segment(self) -> None:
        if self._segment is not None:
            self._ended.append(self._segment)
        self._segment = None

    def _keep(self) -> None:
        while not self._closed.wait(SYNC_SECONDS):
            with self._lock:
                if self._segment is not None and time.monotonic() - self._wrote_at > IDLE_SECONDS:
                    self._end_segment()
            self._sync()

    def _sync(self) -> None:
        """Outside the lock: who appends does not wait for the disk."""
        with self._lock:
            descriptors, self._ended = self._ended, []
            if self._segment is not None and self._dirty:
                descriptors.append(os.dup(self._segment))
            self._dirty = False
        for descriptor in descriptors:
            try:
                os.fsync(descriptor)
            except OSError as error:
                print(f"serving: lines are not on the disk: {error}", file=sys.stderr)
            os.close(descriptor)
        if descriptors:
            contract.sync_folder(self.folder)
