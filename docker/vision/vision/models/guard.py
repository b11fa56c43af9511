"""Classify in a process that may crash or hang: either costs the one image that does it.

The process answers batch by batch. When it dies, the images that it may have been at are asked about again, half by
half, each death followed by a fresh process. An image that has ended three of them, each time alone, is a failure; one
that ended fewer has been unlucky. With one such image among n, that takes at most 2 ceil(log2 n) + 2 further attempts.
"""

import dataclasses
import json
import mmap
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import strandline_contract as contract
from strandline_contract.reasons import CRASHED, HUNG
from vision.models.bundles import Bundle

if TYPE_CHECKING:
    import numpy as np

WORKER = ("-m", "vision.models.network_worker")
CONFIRMATIONS = 2
FATAL_IMAGES = 16  # of one shard: if more end the network, something is wrong with the network or with the host
STALL_SECONDS = 10  # without any use of CPU time
SLOWEST = 20  # times the CPU time of the first batch, for which the network is loaded as well
LEAST_CPU_SECONDS = 10.0  # that every batch may take
MEMORY_BYTES = 16 * 2**20  # of pixels handed over at once, at the least a batch


class Part(NamedTuple):
    """Answers to some images, in order: float32 [n, classes], float32 [n, features], and why there is none, or ""."""

    probabilities: "np.ndarray"
    embeddings: "np.ndarray"
    failures: "np.ndarray"


class _Died(Exception):
    """The process died, or was killed since it hung."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail


class Guard:
    """A bundle's network in a process of its own; a context manager that ends it.

    The process imports its libraries from the construction on: what the caller does until `start` costs nothing.

    Args:
        nice: by how much it gives way to others who want the processor.
    """

    def __init__(self, runtime: contract.Runtime, nice: int = 0) -> None:
        self._runtime, self._nice = runtime, nice
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection
        self._memory_file = os.memfd_create("pixels")
        self._job: dict[str, Any] = {}
        self._batch_sizes: list[int] = []  # that gave answers
        self._patience = float("inf")  # CPU seconds until the next answer
        self._fatal = 0
        self._spawn()

    def __enter__(self) -> "Guard":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
        os.close(self._memory_file)

    def start(self, bundle: Bundle, check: bool = True, sizes: Sequence[int] = ()) -> dict[str, Any]:
        """Load the bundle, whose files were checked, and compare what it says of its golden images.

        Args:
            check: False for who compares them themselves: nobody is to classify so.
            sizes: smaller batches that a few images are to be computed in, where that gives the same bits.

        Returns:
            classes, features, batch_size, sizes (of those, the ones that do), cpu_seconds, import_seconds, and versions
            (see there).

        Raises:
            contract.ContractError: the bundle has no network for this backend, or the weights are another's.
            RuntimeError: the device is not there or says something else, or the process ended.
        """
        self._job = {
            "bundle": dataclasses.asdict(bundle) | {"folder": str(bundle.folder)},
            "runtime": self._runtime.to_dict(),
            "check": check,
            "sizes": list(sizes),
        }
        self.ready = self._begin()
        self.batch_size = self.ready["batch_size"]
        image_bytes = bundle.height * bundle.width * 3
        self._rows = max(1, MEMORY_BYTES // (image_bytes * self.batch_size)) * self.batch_size
        os.ftruncate(self._memory_file, self._rows * image_bytes)
        self._memory = mmap.mmap(self._memory_file, 0)
        return self.ready

    @property
    def versions(self) -> dict[str, str]:
        """What decided the values so far; of the sizes of batches, if memory ran out on the way, all, the last one
        last.
        """
        ready: dict[str, str] = self.ready["versions"]
        return ready | {"batch_size": ", ".join(map(str, self._batch_sizes or [self.batch_size]))}

    def __call__(self, images: "np.ndarray") -> Part:
        """Answers to uint8 [n, height, width, 3].

        Raises:
            InterruptedError: the process was killed from outside, or for want of memory.
            RuntimeError: it failed, or more than FATAL_IMAGES images end it.
        """
        import numpy as np

        parts: list[Part] = []
        for first in range(0, len(images), self._rows):
            parts += self._answer(images[first : first + self._rows])
        if not parts:
            raise contract.BadInput("no images to classify")
        return Part(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def _answer(self, images: "np.ndarray") -> list[Part]:
        parts: list[Part] = []
        done = 0
        while done < len(images):
            try:
                for part in self._ask(images[done:]):
                    parts.append(part)
                    done += len(part.failures)
            except _Died as death:
                # It begins a batch before it has answered the one before.
                suspects = images[done : done + 2 * self.batch_size]
                parts += self._isolate(suspects, death)
                done += len(suspects)
        return parts

    def _isolate(self, images: "np.ndarray", death: _Died) -> list[Part]:
        """Answers to images that have ended the process together."""
        if len(images) == 1:
            return self._confirm(images, death)
        middle = (len(images) + 1) // 2
        return [*self._half(images[:middle]), *self._half(images[middle:])]

    def _half(self, images: "np.ndarray") -> list[Part]:
        try:
            return list(self._ask(images))
        except _Died as death:
            return self._isolate(images, death)

    def _confirm(self, image: "np.ndarray", death: _Died) -> list[Part]:
        import numpy as np

        for _ in range(CONFIRMATIONS):
            try:
                return list(self._ask(image))
            except _Died as again:
                death = again
        self._fatal += 1
        if self._fatal > FATAL_IMAGES:
            raise RuntimeError(
                f"more than {FATAL_IMAGES} images end the network ({death.detail}): that is no fault of images; look at"
                " the model and at this host"
            )
        print(f"vision: an image ended the network {CONFIRMATIONS + 1} times: {death.detail}", file=sys.stderr)
        probabilities, embeddings = (
            np.full((1, self.ready[width]), np.nan, np.float32) for width in ("classes", "features")
        )
        return [Part(probabilities, embeddings, np.array([death.code], object))]

    def _ask(self, images: "np.ndarray") -> Iterator[Part]:
        """A part for each batch of the process.

        Raises:
            _Died: before it had answered all; the next question goes to another.
        """
        import numpy as np

        if self._process is None:
            self._spawn()
            self._begin()
        pixels = np.ascontiguousarray(images).reshape(-1)
        np.frombuffer(self._memory, np.uint8)[: len(pixels)] = pixels
        self._send({"rows": len(images)})
        left = len(images)
        while left:
            header = self._header()
            rows = header["rows"]
            self._note(header["batch_size"])
            probabilities, embeddings = (np.frombuffer(self._receive(), np.float32).reshape(rows, -1) for _ in range(2))
            left -= rows
            widths = probabilities.shape[1], embeddings.shape[1]
            if left < 0 or widths != (self.ready["classes"], self.ready["features"]):
                raise RuntimeError("the network's process gave another number of answers than asked for: run it again")
            yield Part(probabilities, embeddings, np.full(rows, "", object))

    def _note(self, batch_size: int) -> None:
        """A process that comes after this one begins with what fitted last."""
        if self._batch_sizes[-1:] != [batch_size]:
            self._batch_sizes.append(batch_size)
            self._job["runtime"]["batch_size"] = self.batch_size = batch_size

    def _spawn(self) -> None:
        self._connection, theirs = Pipe()
        descriptors = (theirs.fileno(), self._memory_file)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, *WORKER, self._runtime.backend, *map(str, descriptors), str(self._nice)],
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
            )

    def _begin(self) -> dict[str, Any]:
        self._patience = float("inf")
        try:
            self._send(self._job)
            ready = self._header()
        except _Died as death:
            raise RuntimeError(f"the network's process did not start ({death.detail}); its error is above") from death
        self._patience = max(LEAST_CPU_SECONDS, SLOWEST * ready["cpu_seconds"])
        return ready

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self._connection.send_bytes(json.dumps(message).encode())
        except OSError:
            raise self._bury(hung=False) from None

    def _header(self) -> dict[str, Any]:
        header: dict[str, Any] = json.loads(self._receive())
        if "error" in header:
            known = {error.__name__: error for error in (contract.BadInput, contract.BadRequest)}
            raise known.get(header["error"], RuntimeError)(header["message"])
        return header

    def _receive(self) -> bytes:
        """The next message. A process that no longer computes, or computes for too long, is killed.

        Not by the clock on the wall: on a busy machine that would refuse good images.
        """
        assert self._process is not None
        idle, hung = 0, False
        before = spent = -1.0
        while not self._connection.poll(1):
            used = _cpu_seconds(self._process)
            before = used if before < 0 else before
            idle, spent = (idle + 1 if used == spent else 0), used
            if idle >= STALL_SECONDS or used - before > self._patience:
                hung = True
                self._process.kill()
        try:
            return self._connection.recv_bytes()
        except (EOFError, OSError):
            raise self._bury(hung) from None

    def _bury(self, hung: bool) -> _Died:
        """Why the process died; the next question gets a new one.

        Raises:
            InterruptedError: somebody else killed it.
        """
        assert self._process is not None
        self._connection.close()
        self._process.kill()
        status, self._process = self._process.wait(), None
        if hung:
            return _Died(HUNG, "it did not answer")
        if status in (-signal.SIGKILL, -signal.SIGTERM):
            raise InterruptedError(
                f"the network's process was ended by {signal.Signals(-status).name}: by a person, or by the system for"
                " want of memory"
            )
        return _Died(CRASHED, f"ended by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}")


def _cpu_seconds(process: "subprocess.Popen[bytes]") -> float:
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:  # it has ended, and its parent knows
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
