"""Files that one side writes and the other reads: their names, how large they may be, and whether they are whole."""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import re
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from strandline_contract.messages import BadInput, BadRequest, Message

FILE_BYTES = "STRANDLINE_FILE_BYTES"  # environment variable: the size that a command may give to a file
REQUEST_FILE = "request.json"
RESULT_FILE = "result.json"
MANIFEST_FILE = "manifest.parquet"
SHARD_FILE = "shard.parquet"
OUTCOMES_FILE = "outcomes.parquet"
PREVIEWS_FILE = "previews.parquet"
PREDICTIONS_FILE = "predictions.parquet"
METRICS_FILE = "metrics.json"
PREFLIGHT_FILE = "preflight.json"
INFRA_VALIDATION_FILE = "infra_validation.json"
PARITY_FILE = "parity.json"
CHECKPOINT_FILE = "checkpoint.npz"
CURVES_FILE = "curves.json"
CURVES_PLOT = "curves.svg"
LINEAGE_FILE = "lineage.json"
BUNDLE_FOLDER = "bundle"
FETCHED_FOLDER = "fetched"  # of an attempt: files of a landing zone that no vision process can reach, by their numbers
FETCHED_BYTES, FETCHED_FILES = 256 * 2**20, 4096  # that lie there at once: who awaits files never awaits more together
REFUSED_SUFFIX = ".refused"  # behind such a number: JSON with the reason and the detail why there is no file
MAX_JSON_BYTES = 2**20  # of a result, a manifest, a report: what is larger is not read
MAX_REQUEST_BYTES = 2**24  # a training may name thousands of shards
MAX_FILE_BYTES = 2**36
MAX_FILES = 64  # of a bundle, or of an attempt
_VERSION = re.compile(r"([0-9]+)-(-?[0-9]+)(?:-c(-?[0-9]+))?(?:-i([0-9]+))?(?![0-9])")


def version_tag(status: os.stat_result, fields: Collection[str]) -> str:
    """What tells the states of a landed file apart without opening it: `<size>-<mtime>-c<ctime>-i<inode>`, times in ns.

    Bytes of the same size can be put under the same name and modification time; change time and inode then differ.

    Args:
        fields: those of `ctime` and `inode` that the file system keeps.
    """
    changed = f"-c{status.st_ctime_ns}" if "ctime" in fields else ""
    return f"{status.st_size}-{status.st_mtime_ns}{changed}" + (f"-i{status.st_ino}" if "inode" in fields else "")


def is_version(status: os.stat_result, version: str) -> bool:
    """Whether a file is still the listed version, by all that the version says; remarks behind it are passed over."""
    match = _VERSION.match(version)
    if not match:
        return False
    found = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return all(said is None or int(said) == one for said, one in zip(match.groups(), found, strict=True))


def write_json(path: Path, value: object) -> None:
    """As `write_whole`."""
    write_whole(path, json.dumps(value, indent=1, sort_keys=True).encode() + b"\n")


def write_whole(path: Path, content: bytes) -> None:
    """As `whole`, of what is at hand."""
    with whole(path) as file:
        file.write(content)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that takes its name once it is on the disk: a reader never sees half of it.

    If the block or the disk fails, nothing is left behind, and what had the name before still has it.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}.partial")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        sync_folder(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Put the names of a folder's files on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_whole(folder: Path, name: str, sha256: str, max_bytes: int = MAX_FILE_BYTES) -> bool:
    """Whether a folder has a regular file of this name, no larger than that, with this content."""
    try:
        with open_file(store_path(folder, name), max_bytes, folder) as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


def open_file(path: Path, max_bytes: int = MAX_FILE_BYTES, beneath: Path | None = None) -> io.BufferedReader:
    """A regular file, to be read. No link is followed: not at its end, nor in the folders between `beneath` (by default
    the file's own folder) and it. Nothing waits, whatever lies there.

    Raises:
        OSError: it is missing, no regular file, a link, or larger than `max_bytes`.
    """
    beneath = beneath or path.parent
    *folders, name = path.relative_to(beneath).parts
    flags = os.O_NOFOLLOW | os.O_CLOEXEC
    folder = os.open(beneath, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for each in folders:
            inner = os.open(each, os.O_PATH | os.O_DIRECTORY | flags, dir_fd=folder)
            os.close(folder)
            folder = inner
        # Looked at before it is opened, since opening a device can have effects.
        if not stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise OSError(f"{path} is no regular file")
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | flags, dir_fd=folder)
    finally:
        os.close(folder)
    file = os.fdopen(descriptor, "rb")
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_size <= max_bytes:
        return file
    file.close()
    raise OSError(f"{path} is no regular file of at most {max_bytes:,} bytes")


def read_file(path: Path, max_bytes: int = MAX_JSON_BYTES) -> bytes:
    """All of a file that `open_file` opens.

    Raises:
        OSError: as there, or it grew while it was read.
    """
    with open_file(path, max_bytes) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(f"{path} grew beyond {max_bytes:,} bytes while it was read")
    return content


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def plain_name(name: str) -> str:
    """The name, once it is known to be that of a file in whatever folder it is joined to: one component, of printable
    characters, that climbs nowhere.

    Raises:
        BadRequest: it is not.
    """
    if name in ("", ".", "..") or "/" in name or "\\" in name or not name.isprintable() or len(os.fsencode(name)) > 255:
        raise BadRequest(f"{name[:300]!r} is not the plain name of a file")
    return name


def store_path(store: Path, relative: str) -> Path:
    """A path below the store, or another folder: plain names with a slash between them.

    Raises:
        BadRequest: the path is empty or absolute, climbs, or has a name that is not plain.
    """
    try:
        return store.joinpath(*(plain_name(name) for name in relative.split("/")))
    except BadRequest as error:
        raise BadRequest(f"{relative[:300]!r} must be relative to the store and stay inside it: {error}") from error


@dataclasses.dataclass(frozen=True)
class FileRef(Message):
    """A file of the store: path relative to the store, SHA-256 in hex."""

    path: str
    sha256: str

    def __post_init__(self) -> None:
        store_path(Path(), self.path)


def verified(store: Path, ref: FileRef) -> Path:
    """The file that `ref` names, once its hash was checked.

    Raises:
        BadInput: it is missing, no regular file, or has other content.
    """
    path = store_path(store, ref.path)
    try:
        with open_file(path) as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise BadInput(f"{path} does not exist") from error
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
    if found != ref.sha256:
        raise BadInput(f"{path} has SHA-256 {found}, the request says {ref.sha256}")
    return path
