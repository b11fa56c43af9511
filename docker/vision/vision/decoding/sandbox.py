"""Decode files in processes that may crash, hang or run out of memory: each of those costs the one file that did it.

Files go out in chunks. When a process dies, the files of its chunk are decoded again one at a time, each death followed
by a fresh process; a file that kills a process of its own is refused. `Sandbox` decodes files of a folder, `Decoder`
bytes; `Previews` shows what was refused.
"""

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import strandline_contract as contract
from vision.decoding import preview, worker
from vision.decoding.decode import Outcome
from vision.decoding.fetched import Fetched
from vision.decoding.files import File
from vision.decoding.refused import Refused

CHUNK_FILES = 64
CHUNK_BYTES = 4 * 2**20
STALL_SECONDS = 10.0  # without any use of CPU time
PREVIEWS = 200  # of a shard, at the most
DEATHS = 4  # of processes that make previews: more, and no more are made
CHUNKS_AHEAD = 8  # of each process: what waits for an earlier, slower chunk is held in memory


class Picture(NamedTuple):
    """`extension` is that of the file's name, with its dot, in lower case, or "" if it has no name."""

    data: bytes
    extension: str


class Answer(NamedTuple):
    """`outcomes`: one dict a file, the fields of decode.Outcome; `pixels`: of the decoded ones, in order."""

    outcomes: list[dict[str, Any]]
    pixels: list[bytes]


class Sandbox:
    """As many decoding processes as the request says; a context manager that ends them. Files are below `root`, or, if
    they are fetched, come there one by one, and are removed once they were decoded, or shown if they were refused.
    """

    def __init__(self, root: Path, request: contract.PackRequest) -> None:
        self._fetched = Fetched(root) if request.root == "fetched" else None
        self._previews = Previews(root, request)
        self._workers = [_Worker(root, request) for _ in range(request.workers)]
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        for each in self._workers:
            self._idle.put(each)
        self._threads = ThreadPoolExecutor(request.workers)

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        if self._fetched:
            self._fetched.close()
        for each in (*self._workers, self._previews):
            each.close()
        self._threads.shutdown(cancel_futures=True)

    def answers(self, files: Iterable[File]) -> Iterator[Answer]:
        """One outcome for each file, in the order of the files.

        Raises:
            RuntimeError: no decoding process can be started.
        """
        pending: deque[Future[Answer]] = deque()
        for chunk in _chunks(files):
            pending.append(self._threads.submit(self._answer, chunk))
            if len(pending) >= CHUNKS_AHEAD * len(self._workers):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    def preview(self, file: File, reason: str) -> "Preview | None":
        """What there is to see of a file that was refused for this reason; to be asked for each one, in their order."""
        if reason not in preview.REASONS:
            return None
        found = self._fetched.found(file) if self._fetched else file
        made = self._previews.make(found) if found else None
        if self._fetched and found:
            self._fetched.remove([found])
        return made

    def _answer(self, chunk: Sequence[File]) -> Answer:
        """Files that are fetched are awaited here, a chunk at a time: whoever fetches them does so in their order, so
        that there is always room for those of the first chunk that is not decoded.
        """
        if self._fetched:
            chunk = [self._fetched.awaited(file) for file in chunk]
        free = self._idle.get()
        try:
            answer = free.answer(chunk)
        finally:
            self._idle.put(free)
        if self._fetched:
            pairs = zip(chunk, answer.outcomes, strict=True)
            self._fetched.remove([file for file, outcome in pairs if outcome["reason"] not in preview.REASONS])
        return answer


def _chunks(files: Iterable[File]) -> Iterator[list[File]]:
    """Runs of files that a process gets at once: few enough that losing one to a crash costs little."""
    chunk: list[File] = []
    room = CHUNK_BYTES
    for file in files:
        size = int(digits) if (digits := file.version.partition("-")[0]).isdecimal() else 0
        if chunk and (len(chunk) == CHUNK_FILES or size > room):
            yield chunk
            chunk, room = [], CHUNK_BYTES
        chunk.append(file)
        room -= size
    if chunk:
        yield chunk


class _Died(Exception):
    """The process died, or was killed since it hung. Holds what a file that was alone with it is refused for."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.code, refused.detail)
        self.refused = refused


class _Worker:
    """One decoding process at a time, started when it is needed."""

    def __init__(self, root: Path | None, request: contract.PackRequest, previews: bool = False) -> None:
        job = {"root": root and str(root), "request": request.to_dict(), "previews": previews}
        self._job = json.dumps(job).encode()
        self._image_bytes = request.height * request.width * 3
        self._cpu_seconds = request.limits.cpu_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection
        self._closed = False
        self._watch = _Watch()

    def answer(self, files: Sequence[File]) -> Answer:
        try:
            return self._ask(self._listed(files), len(files))
        except _Died as death:
            if len(files) == 1:
                return _refusal(death)
        return _joined([self.answer([file]) for file in files])

    @staticmethod
    def _listed(files: Sequence[File]) -> list[bytes]:
        return [json.dumps([(name.decode("latin-1"), *more) for name, *more in files]).encode()]

    def close(self) -> None:
        self._closed = True
        self._watch.end()
        if self._process:
            self._process.kill()
            self._process.wait()

    def _ask(self, messages: Sequence[bytes], count: int) -> Answer:
        outcomes, pixels = self._exchange(messages)
        decoded = sum(outcome["reason"] is None for outcome in outcomes)
        if len(outcomes) != count or len(pixels) != decoded * self._image_bytes:
            raise RuntimeError(f"a decoding process gave {len(outcomes)} outcomes for {count} files; run it again")
        return Answer(outcomes, [pixels[i : i + self._image_bytes] for i in range(0, len(pixels), self._image_bytes)])

    def _exchange(self, messages: Sequence[bytes]) -> tuple[Any, bytes]:
        """What the process says, and the pixels that follow.

        Raises:
            _Died: it does not; the next question goes to another.
        """
        process = self._process or self._start()
        with self._watch.over(process) as watch:
            try:
                for message in messages:
                    self._connection.send_bytes(message)
                return json.loads(self._connection.recv_bytes()), self._connection.recv_bytes()
            except (EOFError, OSError):
                raise _Died(self._bury(process, watch)) from None

    def _start(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise RuntimeError("the sandbox is closed")
        self._connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "vision.decoding.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        with self._watch.over(self._process):
            try:
                self._connection.send_bytes(self._job)
                self._connection.recv_bytes()
            except (EOFError, OSError):
                status = self._process.wait()
                raise RuntimeError(f"a decoding process did not start (status {status}); its error is above") from None
        return self._process

    def _bury(self, process: subprocess.Popen[bytes], watch: "_Watch") -> Refused:
        """The reason why it died; the next files get a new one. Runs while it is still watched: this ends."""
        self._process = None
        self._connection.close()
        status = process.wait()
        if watch.hung:
            return Refused("TIMEOUT", f"nothing happened for {STALL_SECONDS:g} s")
        if status == -signal.SIGXCPU:
            return Refused("TIMEOUT", f"more than {self._cpu_seconds} s of CPU")
        if status == worker.EXIT_OUT_OF_MEMORY:
            return Refused("OUT_OF_MEMORY")
        died_of = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        return Refused("DECODER_CRASHED", f"the decoding process ended by {died_of}")


class Preview(NamedTuple):
    """RGB `pixels`, height x width x 3, row by row."""

    width: int
    height: int
    pixels: bytes


class Previews(_Worker):
    """Makes previews of refused files of a folder, in a process that is started for the first one. No file is refused,
    or taken, for what happens here.
    """

    def __init__(self, root: Path, request: contract.PackRequest) -> None:
        super().__init__(root, request, previews=True)
        self._left, self._lives = PREVIEWS, DEATHS

    def make(self, file: File) -> Preview | None:
        """None if there is nothing to show of it, or if there were enough."""
        if not self._left or not self._lives:
            return None
        self._left -= 1
        try:
            size, pixels = self._exchange([json.dumps((file.name.decode("latin-1"), file.version)).encode()])
            width, height = map(int, size or (0, 0))
        except (_Died, TypeError, ValueError):  # hostile bytes may have taken it over
            self._lives -= 1
            return None
        is_whole = 0 < width <= preview.SIDE and 0 < height <= preview.SIDE and len(pixels) == width * height * 3
        return Preview(width, height, pixels) if is_whole else None


class Decoder(_Worker):
    """Decodes bytes in a process that stays. Whoever kills it costs no picture: each has a process twice."""

    def __init__(self, limits: contract.Limits) -> None:
        unlisted = contract.FileRef(contract.MANIFEST_FILE, "")
        super().__init__(None, contract.PackRequest("", unlisted, 1, 1, limits, workers=1))

    def start(self) -> None:
        """Have the process ready before there is a picture.

        Raises:
            RuntimeError: it does not start.
        """
        if self._process is None:
            self._start()

    def decode(self, pictures: Sequence[Picture], rule: contract.ResizeRule) -> Answer:
        """
        Raises:
            RuntimeError: no decoding process can be started.
        """
        self._image_bytes = rule.height * rule.width * 3
        with contextlib.suppress(_Died):
            return self._ask(_sent(pictures, rule), len(pictures))
        return _joined([self._again(picture, rule) for picture in pictures])

    def _again(self, picture: Picture, rule: contract.ResizeRule) -> Answer:
        try:
            return self._ask(_sent([picture], rule), 1)
        except _Died as death:
            return _refusal(death)


def _sent(pictures: Sequence[Picture], rule: contract.ResizeRule) -> list[bytes]:
    listed = [(picture.extension, len(picture.data)) for picture in pictures]
    header = json.dumps({"rule": vars(rule), "files": listed}).encode()
    return [header, b"".join(picture.data for picture in pictures)]


def _refusal(death: _Died) -> Answer:
    outcome = Outcome()
    outcome.refuse(death.refused)
    return Answer([outcome.row()], [])


def _joined(answers: Sequence[Answer]) -> Answer:
    return Answer([o for each in answers for o in each.outcomes], [p for each in answers for p in each.pixels])


class _Watch:
    """Kills the process that is asked when it stops using CPU time, so that what is waited for from it ends.

    Not by the clock on the wall alone: on a busy machine that would refuse good files. A process that does use CPU time
    meets its limit of that. One thread for all questions: to start one takes longer than to decode a small picture.
    """

    def __init__(self) -> None:
        self.hung = False
        self._asked: tuple[int, subprocess.Popen[bytes]] | None = None
        self._count = 0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def over(self, process: subprocess.Popen[bytes]) -> Iterator["_Watch"]:
        """`hung` tells, until the next question, whether it was killed."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        self.hung, self._count = False, self._count + 1
        self._asked = self._count, process
        try:
            yield self
        finally:
            self._asked = None

    def end(self) -> None:
        self._ended.set()

    def _run(self) -> None:
        seen = None
        while not self._ended.wait(STALL_SECONDS):
            asked = self._asked
            found = asked and (asked[0], _cpu_ticks(asked[1]))
            if asked and found == seen and self._asked is asked:
                self.hung = True
                asked[1].kill()
            seen = found


def _cpu_ticks(process: subprocess.Popen[bytes]) -> int:
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:  # it has ended, and its parent knows
        return 0
    return int(fields[11]) + int(fields[12])
