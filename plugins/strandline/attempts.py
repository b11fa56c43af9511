"""Attempts of vision commands: how much one may write, what is kept of it, and whether that is still what it was.

A process that hostile bytes took over can write anything into the folder of its attempt. So the folder is watched while
it runs; afterwards only the files that its result names stay, plain and read-only; and the SHA-256 of the result, which
has those of the request and of every output, is kept where no vision process writes: in what the task returns, and in
the ledger.
"""

import contextlib
import dataclasses
import hashlib
import os
import shutil
import stat
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import strandline_contract as contract
from strandline import ledger, settings
from strandline.errors import PermanentError

LOOK = 1.0  # seconds between two looks at how much was written
KEPT_OF_FAILED = (contract.REQUEST_FILE, contract.CHECKPOINT_FILE)


class TooMuch(PermanentError):
    """An attempt has written more than it may; the message says how much."""


@dataclasses.dataclass(frozen=True)
class SealedAttempt(contract.Message):
    """An attempt, as its task hands it on: `folder` is relative to the store, `sealed` the SHA-256 of its result,
    `image` the digest of the container image that ran, None without one.
    """

    shard_id: str
    folder: str
    sealed: str
    image: str | None = None


@contextlib.contextmanager
def watched(folder: Path, most_bytes: int, most_files: int, stop: Callable[[], None]) -> Iterator[None]:
    """Look at what is written below a folder; at more than that, call `stop`, from another thread.

    Raises:
        TooMuch: in the end, whatever else happened.
    """
    found, ended = "", threading.Event()

    def look() -> None:
        nonlocal found
        while not found and not ended.wait(LOOK):
            if found := excess(folder, most_bytes, most_files):
                stop()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        if found := found or excess(folder, most_bytes, most_files):
            raise TooMuch(found)


def excess(folder: Path, most_bytes: int, most_files: int) -> str:
    """What is wrong with how much lies below a folder, as a sentence; empty if nothing is."""
    size, files, folders = 0, 0, [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        size += 512 * entry.stat(follow_symlinks=False).st_blocks
                        files += 1
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(Path(entry.path))
                    if files > most_files:
                        return (
                            f"the attempt has more than {most_files:,} files in {folder}, the STRANDLINE_ATTEMPT_FILES"
                            " that it may have: no vision command needs as many, so look at what it was given"
                        )
        except FileNotFoundError:
            continue
        except OSError as error:
            return f"the attempt has a folder that cannot be looked into ({error}): no vision command makes such"
    if size > most_bytes:
        return (
            f"the attempt has written {size:,} bytes into {folder}, and STRANDLINE_ATTEMPT_BYTES allows {most_bytes:,}:"
            " raise that if its images are large, or give smaller shards"
        )
    return ""


def seal(folder: Path, command: str, request: str, max_bytes: int) -> tuple[contract.Result, str]:
    """Keep of an attempt that has ended what its result names: plain, read-only files, and nothing beside them.

    Args:
        request: SHA-256 of the request that it was given.
        max_bytes: of one file.

    Returns:
        Its result, and the SHA-256 of the file that has it.

    Raises:
        contract.NoResult: it answers another request, its files are not what it says or no plain files, or what else
            lies there cannot be removed.
    """
    try:
        raw = contract.read_file(folder / contract.RESULT_FILE)
        result = contract.Result.from_json(raw)
        if result.request != request:
            raise contract.NoResult(f"{folder} answers another request than it was given: run it again")
        names = {contract.REQUEST_FILE, contract.RESULT_FILE, *result.files}
        _keep(folder, names)
        folder.chmod(0o755)
        for name in names:
            _make_plain(folder, name, max_bytes)
    except (OSError, RecursionError, contract.BadRequest) as error:
        raise contract.NoResult(
            f"{folder} cannot be sealed ({error}): the attempt did not happen, run it again"
        ) from error
    return contract.read_result(folder, command, max_bytes), hashlib.sha256(raw).hexdigest()


def discard(folder: Path) -> None:
    """Remove what an attempt that failed has left, but for what a later one may go on from.

    Raises:
        OSError: something cannot be removed.
    """
    _keep(folder, KEPT_OF_FAILED)


def read(store: Path, done: SealedAttempt, command: str) -> tuple[Path, contract.Result]:
    """The folder and the result of an attempt; all of it is checked by hash.

    Raises:
        contract.NoResult: files are missing or altered.
    """
    folder = contract.store_path(store, done.folder)
    result = contract.read_result(folder, command)
    if contract.sha256_file(folder / contract.RESULT_FILE) != done.sealed:
        raise contract.NoResult(f"{folder} was altered after it was sealed: run the attempt again")
    return folder, result


def of_run(config: settings.Settings, run_id: str, done: SealedAttempt, command: str) -> tuple[Path, contract.Result]:
    """As `read`, of an attempt of this run.

    Raises:
        contract.NoResult: it is none of this run, or files are missing or altered.
    """
    check_place(config, run_id, done.folder)
    return read(config.store, done, command)


def packed(config: settings.Settings, run_id: str, shard_id: str) -> Iterator[tuple[Path, contract.Result]]:
    """Folders and results of the attempts that packed a shard of a run, the latest first. What they hold is as it lies
    there: only the ledger could tell whether it was altered.
    """
    folder = config.run_folder(run_id) / "pack" / contract.plain_name(shard_id)
    for path in sorted(folder.glob(f"*/{contract.RESULT_FILE}"), reverse=True):
        with contextlib.suppress(OSError, contract.ContractError):
            yield path.parent, contract.Result.from_json(contract.read_file(path))


def check_place(config: settings.Settings, run_id: str, path: str) -> None:
    """Refuse a path (relative to the store) that is not below the folder of this run.

    Raises:
        contract.NoResult: it is not.
    """
    folder = contract.store_path(config.store, path)
    if config.run_folder(run_id) not in folder.parents:
        raise contract.NoResult(f"{folder} is no attempt of run {run_id}: clear the task that made it")


def recorded_shards(connection: ledger.Connection, store: Path, folders: Iterable[str]) -> list[contract.FileRef]:
    """The shards that attempts of the ledger classified, by their folders (relative to the store); each once.

    Raises:
        contract.NoResult: a request is gone, or not the one that the ledger knows.
    """
    rows = ledger.fetch(connection, "select_batches_of_folders", {"folders": sorted(set(folders))})
    found = [recorded_request(store, row).shard for row in rows]
    return list({ref.path: ref for ref in found}.values())


def recorded_request(store: Path, batch: Mapping[str, Any]) -> contract.ClassifyRequest:
    """What an attempt was asked for that is a batch of the ledger: `folder`, `result_sha256` and `shard_sha256`.

    Raises:
        contract.NoResult: it is gone, or not the one that the ledger knows.
    """
    folder = contract.store_path(store, batch["folder"])
    path = folder / contract.REQUEST_FILE
    try:
        raw = contract.read_file(folder / contract.RESULT_FILE)
        whole = hashlib.sha256(raw).hexdigest() == batch["result_sha256"] and contract.is_whole(
            folder, contract.REQUEST_FILE, contract.Result.from_json(raw).request
        )
        if not whole:
            raise contract.NoResult(f"{folder} has another request or result than the ledger knows: it was altered")
        request = contract.read_request("classify", path)
    except (OSError, contract.BadRequest) as error:
        raise contract.NoResult(f"{path} cannot be read: {error}") from error
    assert isinstance(request, contract.ClassifyRequest)
    if request.shard.sha256 != batch["shard_sha256"]:
        raise contract.NoResult(f"{path} names another shard than the ledger knows: it was altered")
    return request


def _keep(folder: Path, names: Collection[str]) -> None:
    """Remove all else from a folder, and from the folder of a bundle in it. Nothing is followed."""
    bundle = f"{contract.BUNDLE_FOLDER}/"
    inner = {name.removeprefix(bundle) for name in names if name.startswith(bundle)}
    for path in list(folder.iterdir()):
        is_folder = path.is_dir() and not path.is_symlink()
        if is_folder and path.name == contract.BUNDLE_FOLDER and inner:
            path.chmod(0o755)
            _keep(path, inner)
        elif is_folder:
            _remove_folder(path)
        elif path.name not in names or path.is_symlink() or not path.is_file():
            path.unlink()


def _remove_folder(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except PermissionError:
        folder.chmod(0o700)
        for inner in list(folder.iterdir()):
            if inner.is_dir() and not inner.is_symlink():
                _remove_folder(inner)
        shutil.rmtree(folder)


def _make_plain(folder: Path, name: str, max_bytes: int) -> None:
    with contract.open_file(contract.store_path(folder, name), max_bytes, folder) as file:
        if os.fstat(file.fileno()).st_nlink != 1:
            raise OSError(f"{folder / name} is the hard link of another file")
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) != 0o444:
            os.fchmod(file.fileno(), 0o444)
