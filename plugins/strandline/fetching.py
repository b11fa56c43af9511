"""Objects of a bucket, brought to what decodes them: that has neither a network nor credentials.

While a shard is packed, the objects that its manifest lists are got here, many at a time, and put into a folder of the
attempt, each by its number in the manifest. Whoever decodes one removes it, and so says that there is room for more. An
object that cannot be had is a file that says why. A store that is busy, or away, is asked again with growing pauses; if
that does not help, the attempt fails, and no entry has an outcome.
"""

import asyncio
import collections
import contextlib
import json
import logging
import os
import random
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import aiohttp
import pyarrow.parquet as pq
import yarl
from botocore.exceptions import BotoCoreError

import strandline_contract as contract
from strandline import settings
from strandline.bucket import EXPIRED, Bucket, Version

log = logging.getLogger(__name__)

AT_ONCE = 64  # requests on their way
AHEAD_BYTES, AHEAD_FILES = contract.FETCHED_BYTES, contract.FETCHED_FILES
BLOCK_BYTES = 4096  # of a disk: what a small file takes beyond its size, at the most
PIECE = 2**18  # bytes that are written at once
LOOK = 0.005  # seconds between two looks for room, when there is none
TRIES, PAUSE, LONGEST_PAUSE = 8, 0.2, 20.0  # of one object; seconds, doubled each time
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)
ERROR_BYTES = 2**16  # of what a store says that it refuses
_ERROR = re.compile(rb"<Code>([\w.]{1,100})</Code>")

# What a store may say of one object, and what its entry then comes to.
REFUSALS = {
    "NoSuchKey": ("MISSING", "The object was gone when it was to be read."),
    "NoSuchVersion": ("MISSING", "The listed version of the object was gone when it was to be read."),
    "PreconditionFailed": (
        "CHANGED",
        "The object was overwritten after it was listed; the next run lists the new one.",
    ),
    "InvalidObjectState": ("UNREADABLE", "The object lies in an archive: restore it, then release it."),
    "AccessDenied": (
        "UNREADABLE",
        "The store denies access to this object or to its key: allow s3:GetObject (of versions s3:GetObjectVersion) and"
        " kms:Decrypt, then release it.",
    ),
}


class FetchError(Exception):
    """The store does not give what is to be decoded; another try may help."""


class _Fault(Exception):
    """One request failed for no fault of the object."""


class _Refused(NamedTuple):
    reason: str
    detail: str


@contextlib.contextmanager
def fetched(
    config: settings.Settings, request: contract.PackRequest, folder: Path, stop: Callable[[], None]
) -> Iterator[tuple[int, int]]:
    """Bring what a request lists into an attempt's folder, until the block ends.

    Yields how many bytes and files that may take there at once.

    Args:
        stop: ends what decodes; called from another thread, and more than once, if the objects cannot be had.

    Raises:
        FetchError: they cannot, whatever else happened.
        LandingError: the bucket cannot be opened.
    """
    place = folder / contract.FETCHED_FOLDER
    place.mkdir()
    fetcher = _Fetcher(Bucket.landing(config), contract.verified(config.store, request.manifest), place)
    failed: list[Exception] = []
    ended = threading.Event()

    def work() -> None:
        try:
            asyncio.run(fetcher.run())
        except BaseException as error:  # noqa: BLE001 - whatever it is, nobody must wait for what will not come
            failed.append(_first(error))
            stop()
            while not ended.wait(1.0):  # it may not have been started yet
                stop()

    thread = threading.Thread(target=work, name="fetching", daemon=True)
    thread.start()
    try:
        yield max(AHEAD_BYTES, request.limits.max_bytes) + AHEAD_FILES * BLOCK_BYTES, AHEAD_FILES + AT_ONCE + 1
    finally:
        ended.set()
        fetcher.stop()
        thread.join()
        fetcher.close()
        if failed:
            raise FetchError(
                f"{config.landing} does not give the objects of shard {request.shard_id[:12]}: {failed[0]}"
            ) from failed[0]


def _first(error: BaseException) -> Exception:
    """Of what many tasks raised, one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, Exception) else FetchError(repr(error))


class _Fetcher:
    """Writes beneath a folder that it has opened: what decodes may put anything into its place, links among it."""

    def __init__(self, bucket: Bucket, manifest: Path, place: Path) -> None:
        self._bucket = bucket
        self._manifest = manifest
        self._folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._ahead: collections.deque[tuple[int, int]] = collections.deque()  # number and size, in order
        self._ahead_bytes = 0
        self._on_their_way: set[int] = set()
        self._proxy = bucket.proxy()
        self._renewing = asyncio.Lock()
        self._renewed = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work: asyncio.Task[None] | None = None
        self._stopped = threading.Event()

    async def run(self) -> None:
        """Bring everything, unless it is stopped."""
        self._loop, self._work = asyncio.get_running_loop(), asyncio.create_task(self._bring_all())
        if self._stopped.is_set():
            self._work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._work

    def stop(self) -> None:
        """From any thread."""
        self._stopped.set()
        if self._loop and self._work:
            with contextlib.suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._work.cancel)

    def close(self) -> None:
        os.close(self._folder)

    async def _bring_all(self) -> None:
        connector = aiohttp.TCPConnector(limit=AT_ONCE, ssl=ssl.create_default_context(cafile=self._bucket.authorities))
        slots = asyncio.Semaphore(AT_ONCE)
        async with (
            # As they are, whatever encoding an object claims to have.
            aiohttp.ClientSession(connector=connector, timeout=TIMEOUT, auto_decompress=False) as session,
            asyncio.TaskGroup() as group,
        ):
            for number, (name, tag) in enumerate(_rows(self._manifest)):
                version = Version.parse(tag)
                await self._room(number, version.size if version else 0)
                await slots.acquire()
                task = group.create_task(self._bring(session, number, name, version))
                task.add_done_callback(lambda _: slots.release())

    async def _room(self, number: int, size: int) -> None:
        """Wait until so many bytes may be brought, and count them."""
        while self._ahead and (self._ahead_bytes + size > AHEAD_BYTES or len(self._ahead) >= AHEAD_FILES):
            first, bytes_ = self._ahead[0]
            if first in self._on_their_way or self._is_there(first):
                await asyncio.sleep(LOOK)
            else:
                self._ahead.popleft()
                self._ahead_bytes -= bytes_
        self._ahead.append((number, size))
        self._ahead_bytes += size
        self._on_their_way.add(number)

    def _is_there(self, number: int) -> bool:
        for name in (str(number), f"{number}{contract.REFUSED_SUFFIX}"):
            with contextlib.suppress(FileNotFoundError):
                os.stat(name, dir_fd=self._folder, follow_symlinks=False)
                return True
        return False

    async def _bring(self, session: aiohttp.ClientSession, number: int, name: bytes, version: Version | None) -> None:
        if version is None:
            refused: _Refused | None = _Refused("CHANGED", "It was listed as a file, and the landing zone is a bucket.")
        else:
            refused = await self._got(session, number, name, version)
        if refused:
            with self._written(f"{number}{contract.REFUSED_SUFFIX}") as file:
                file.write(json.dumps(refused._asdict()).encode())
        self._on_their_way.discard(number)

    async def _got(self, session: aiohttp.ClientSession, number: int, name: bytes, version: Version) -> _Refused | None:
        """Get an object to the disk; or why there is none to be had."""
        pause = PAUSE
        for left in reversed(range(TRIES)):
            renewed = self._renewed
            try:
                return await self._get(session, number, name, version, renewed)
            except (_Fault, aiohttp.ClientError, TimeoutError, BotoCoreError) as error:
                if not left:
                    raise FetchError(f"{TRIES} tries at one object failed, the last by {error!r}") from error
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)
        raise AssertionError("unreachable")

    async def _get(
        self, session: aiohttp.ClientSession, number: int, name: bytes, version: Version, renewed: int
    ) -> _Refused | None:
        address, headers = self._bucket.request(name, version)
        async with session.get(
            yarl.URL(address, encoded=True), headers=headers, proxy=self._proxy, allow_redirects=False
        ) as response:
            if response.status != 200:
                said = _ERROR.search(await response.content.read(ERROR_BYTES))
                code = said[1].decode() if said else f"status {response.status}"
                if code in EXPIRED:
                    await self._renew(renewed)
                return _refusal(code)
            if response.content_length not in (None, version.size):
                return _Refused("CHANGED", f"listed with {version.size} bytes, found with {response.content_length}")
            size = 0
            with self._written(str(number)) as file:
                async for piece in response.content.iter_chunked(PIECE):
                    size += len(piece)
                    if size > version.size:
                        break
                    file.write(piece)
                if size != version.size:
                    raise _Fault(f"the store gave {size} of {version.size} bytes")
        return None

    async def _renew(self, renewed: int) -> None:
        """Read the credentials anew, once for all requests that met the end of them."""
        async with self._renewing:
            if self._renewed == renewed:
                log.warning("the credentials of %s have expired: reading them anew", self._bucket.url)
                await asyncio.to_thread(self._bucket.renew)
                self._renewed += 1

    @contextlib.contextmanager
    def _written(self, name: str) -> Iterator[BinaryIO]:
        """A file that takes its name once it is whole. Nobody has to find it after a power cut: it is not synced."""
        partial = f"{name}.partial"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(partial, flags, 0o644, dir_fd=self._folder), "wb") as file:
                yield file
            os.rename(partial, name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(partial, dir_fd=self._folder)
            raise


def _rows(manifest: Path) -> Iterator[tuple[bytes, str]]:
    for batch in pq.ParquetFile(manifest).iter_batches(AHEAD_FILES, columns=["name", "version"]):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _refusal(code: str) -> _Refused:
    """
    Raises:
        _Fault: that is no fault of the object.
    """
    if code.startswith("KMS."):  # a key that is disabled, or about to be deleted
        code = "AccessDenied"
    if code not in REFUSALS:
        raise _Fault(f"the store refuses: {code}")
    return _Refused(*REFUSALS[code])
