"""Files that come while they are decoded: somebody with a network brings them, in the order of the manifest, and not
many more before these are gone.
"""

import contextlib
import json
import threading
from collections.abc import Sequence
from pathlib import Path

import strandline_contract as contract
from vision.decoding.files import File
from vision.decoding.refused import Refused

SHORTEST, LONGEST = 0.0005, 0.02  # seconds between two looks
REFUSED = contract.REFUSED_SUFFIX.encode()


class Fetched:
    """The folder that files come into. Safe for threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._closed = threading.Event()

    def awaited(self, file: File) -> File:
        """The file, or the word why there is none, once one of them is here.

        Raises:
            RuntimeError: it was closed first.
        """
        pause = SHORTEST
        while not self._closed.is_set():
            if found := self.found(file):
                return found
            self._closed.wait(pause)
            pause = min(2 * pause, LONGEST)
        raise RuntimeError("files are no longer awaited")

    def found(self, file: File) -> File | None:
        """As `awaited`, if it is here."""
        for name in (file.name, file.name + REFUSED):
            with contextlib.suppress(FileNotFoundError):
                status = self._path(name).stat(follow_symlinks=False)
                return file._replace(name=name, version=contract.version_tag(status, ()))
        return None

    def remove(self, files: Sequence[File]) -> None:
        """Say that there is room for more."""
        for file in files:
            self._path(file.name).unlink(missing_ok=True)

    def close(self) -> None:
        """Await nothing any more."""
        self._closed.set()

    def _path(self, name: bytes) -> Path:
        return self._folder / name.decode()


def check(name: bytes, data: bytes) -> None:
    """
    Raises:
        Refused: the file is such a word; with what it says.
    """
    if name.endswith(REFUSED):
        said = json.loads(data)
        raise Refused(said["reason"], said["detail"])
