"""Read a listed file of the landing zone once, or say why not. Nothing outside the landing zone is ever opened.

Every component of a name is opened beneath the one before it and never followed when it is a symbolic link, so a folder
that is swapped for a link between listing and reading leads nowhere.
"""

import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import strandline_contract as contract
from vision.decoding.refused import Refused

_FOLDER_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CODES = {
    errno.ENOENT: "MISSING",
    errno.ENOTDIR: "MISSING",
    errno.ELOOP: "SYMLINK",
    errno.ENAMETOOLONG: "NAME_TOO_LONG",
    errno.ENXIO: "SPECIAL",
    errno.ENODEV: "SPECIAL",
}


class File(NamedTuple):
    """A name below a root, and the version that it was listed with; `extension` is that of the name that it landed
    under, with its dot, in lower case.
    """

    name: bytes
    version: str
    extension: str


@dataclass(frozen=True)
class Root:
    """The landing zone, opened once."""

    descriptor: int
    device: int

    @classmethod
    def open(cls, path: Path) -> "Root":
        """
        Raises:
            OSError: there is no such folder.
        """
        descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return cls(descriptor, os.fstat(descriptor).st_dev)


def read(root: Root, name: bytes, version: str, max_bytes: int) -> bytes:
    """All bytes of the file `name`, by one read, while it is still the listed version.

    Args:
        name: relative to the landing zone; any bytes.
        version: as `contract.version_tag` writes it, perhaps with remarks of the lister behind it.

    Raises:
        Refused: with a code of any status.
    """
    *folders, last = _components(name)
    opened: list[int] = []
    folder = root.descriptor
    try:
        for component in folders:
            folder = _enter(folder, component)
            opened.append(folder)
        # Looked at before it is opened, since opening a device can have effects.
        _check(os.stat(last, dir_fd=folder, follow_symlinks=False), root, version, max_bytes)
        descriptor = os.open(last, _FILE_FLAGS, dir_fd=folder)
        opened.append(descriptor)
        return _read_once(descriptor, root, version, max_bytes)
    except OSError as error:
        raise Refused(_CODES.get(error.errno or 0, "UNREADABLE"), error.strerror) from error
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _components(name: bytes) -> list[bytes]:
    components = name.split(b"/")
    if b"\0" in name or not {b"", b".", b".."}.isdisjoint(components):
        raise Refused("BAD_NAME")
    return components


def _enter(folder: int, component: bytes) -> int:
    try:
        return os.open(component, _FOLDER_FLAGS, dir_fd=folder)
    except NotADirectoryError:
        if stat.S_ISLNK(os.stat(component, dir_fd=folder, follow_symlinks=False).st_mode):
            raise Refused("SYMLINK", "a folder of the path is a symbolic link") from None
        raise


def _check(found: os.stat_result, root: Root, version: str, max_bytes: int) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise Refused("SYMLINK")
    if stat.S_ISDIR(found.st_mode):
        raise Refused("DIR")
    if not stat.S_ISREG(found.st_mode):
        raise Refused("SPECIAL")
    if found.st_dev != root.device:
        raise Refused("OTHER_DEVICE")
    if not contract.is_version(found, version):
        tag = contract.version_tag(found, ("ctime", "inode"))
        raise Refused("CHANGED", f"listed as {version}, found as {tag} (size, time of modification, of change, inode)")
    if found.st_size > max_bytes:
        raise Refused("TOO_LARGE", f"{found.st_size} bytes are more than {max_bytes}")


def _read_once(descriptor: int, root: Root, version: str, max_bytes: int) -> bytes:
    before = os.fstat(descriptor)
    _check(before, root, version, max_bytes)
    data = os.read(descriptor, before.st_size + 1)
    _check(os.fstat(descriptor), root, version, max_bytes)
    if len(data) > before.st_size:
        raise Refused("CHANGED", "the file grew while it was read")
    if len(data) < before.st_size:
        raise Refused("UNREADABLE", f"the file system gave {len(data)} of {before.st_size} bytes")
    return data
