"""A version that answers: its network in a process of its own, and the thread that feeds it.

What comes while a batch is computed is the next one: nothing waits for others to come.
"""

import sys
import threading
import traceback
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

import numpy as np

import strandline_contract as contract
from strandline_contract.reasons import NOT_FINITE
from vision import hardware
from vision.models import bundles
from vision.models.guard import Guard
from vision.serving import metrics
from vision.serving.picture import Picture
from vision.serving.problems import Problem
from vision.serving.waiting import Waiting

SIZES = (16, 4, 1)  # of batches, where they give the same bits as whole ones
ATTEMPTS = 2  # at a batch whose process somebody ended


class Told(Protocol):
    """Who learns what became of pictures; from any thread."""

    def record(self, pictures: list[Picture]) -> None:
        """Pictures with probabilities, or with a failure."""

    def fail(self, pictures: list[Picture], problem: Problem) -> None:
        """Pictures that get no answer."""


class Model:
    """
    Args:
        nice: by how much its process gives way to others who want the processor.

    Attributes:
        ready: done once it can answer; it fails with what is wrong with the bundle.
        using: pictures that are on their way to an answer of this model; for the event loop to count.
    """

    def __init__(
        self, store: Path, ref: contract.BundleRef, runtime: contract.Runtime, told: Told, nice: int = 0
    ) -> None:
        self.version, self.using = ref.version, 0
        self.ready: Future[None] = Future()
        self.name = ""
        self._store, self._ref, self._runtime, self._told, self._nice = store, ref, runtime, told, nice
        self._waiting: Waiting[Picture] = Waiting()
        self._processor = hardware.processor()
        # The process dies with the thread that started it, so it is this one's alone.
        self._thread = threading.Thread(target=self._run, name=f"model {ref.version[:12]}", daemon=True)
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        return self.ready.done() and self.ready.exception() is None

    @property
    def has_failed(self) -> bool:
        return self.ready.done() and not self.is_ready

    def put(self, pictures: list[Picture]) -> None:
        """Pictures with pixels: each will be finished."""
        if not self._waiting.put(pictures):
            self._told.fail(pictures, Problem("NOT_READY", f"version {self.version} is no longer served", 2))

    def close(self) -> None:
        """End the process, once what waits is answered; does not wait for that."""
        self._waiting.close()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        try:
            self._load()
        except Exception as error:  # noqa: BLE001 - who asked for the model is told
            self.ready.set_exception(error)
            return
        while True:
            started = False
            try:
                with Guard(self._runtime, self._nice) as guard:
                    guard.start(self.bundle, sizes=SIZES)
                    started = True
                    if not self.ready.done():
                        self.ready.set_result(None)
                    self._serve(guard)
                return
            except Exception as error:  # noqa: BLE001 - as above, or another process has to do
                if not self.ready.done():
                    self.ready.set_exception(error)
                    return
                traceback.print_exc(file=sys.stderr)
            if not started and not self._refuse():
                return

    def _load(self) -> None:
        """
        Raises:
            contract.ContractError: it is no bundle, or not this version.
        """
        self.bundle = bundles.load(self._store, self._ref)
        manifest = contract.read_file(self.bundle.folder / contract.BUNDLE_MANIFEST)
        self.name = contract.BundleManifest.from_json(manifest).name
        self.classes, self.rule = self.bundle.classes, self.bundle.resize_rule()

    def _serve(self, guard: Guard) -> None:
        """
        Raises:
            RuntimeError: the process cannot go on, or no other can be started.
        """
        sizes = [guard.batch_size, *guard.ready["sizes"]]
        most = max((size for size in sizes if size <= SIZES[0]), default=guard.batch_size)
        while batch := self._waiting.take(most):
            try:
                self._answer(guard, batch)
            except Exception:
                self._told.fail(batch, _down())
                raise

    def _answer(self, guard: Guard, batch: list[Picture]) -> None:
        height, width = self.bundle.height, self.bundle.width
        pixels = np.frombuffer(b"".join(picture.pixels for picture in batch), np.uint8)
        probabilities, failures = _asked(guard, pixels.reshape(len(batch), height, width, 3))
        metrics.BATCH.observe(len(batch))
        versions = guard.versions | {"processor": self._processor}
        for picture, row, failure in zip(batch, probabilities.tolist(), failures.tolist(), strict=True):
            picture.versions = versions
            if failure:
                picture.failure = failure
            else:
                picture.probabilities = tuple(row)
        self._told.record(batch)

    def _refuse(self) -> bool:
        """Tell who waits that the network is down, so that another try at it has a reason; whether anybody asks."""
        batch = self._waiting.take(1)
        if batch:
            self._told.fail(batch, _down())
        return bool(batch)


def _asked(guard: Guard, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities float32 [n, classes] of uint8 [n, height, width, 3], and why there are none, or "".

    Raises:
        RuntimeError: no process answers.
        InterruptedError: somebody ends each of them.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            part = guard(images)
            break
        except InterruptedError as error:
            print(f"serving: {error}; the same pictures once more", file=sys.stderr)
    else:
        part = guard(images)
    finite = np.isfinite(part.probabilities).all(axis=1)
    failures = np.where((part.failures == "") & ~finite, NOT_FINITE, part.failures)
    return part.probabilities, failures


def _down() -> Problem:
    return Problem("NETWORK_DOWN", "the network's process ended, and another is being started", 2)
