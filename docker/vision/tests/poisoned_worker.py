"""The classifying process, of a network that cannot stand marked images: by their pixels, it crashes or hangs for real.

POISON_MARK is the colour of their first pixel; of the kind "chance" each fifth batch crashes, whatever is in it; of the
kind "memory" a batch of more than 8 with a marked image asks for more memory than there is. A line for each question
goes to the file that POISON_LOG names. With POISON_NETWORK=light the network is a few lines of numpy, which start at
once.
"""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from vision import backends
from vision.backends.backend import Backend
from vision.models import golden, network_worker

MARK = tuple(map(int, os.environ["POISON_MARK"].split(",")))
KIND = os.environ["POISON"]


class Light(Backend):
    libraries: dict[str, str] = {}  # noqa: RUF012 - a property of the others

    def _load(self) -> None:
        pass

    def _submit(self, images: np.ndarray) -> np.ndarray:
        return images

    def _answers(self, submitted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        features = submitted.reshape(len(submitted), -1)[:, :64].astype(np.float32) / 255
        powers = np.exp(features[:, : len(self.bundle.classes)])
        return powers / powers.sum(axis=1, keepdims=True), features


def poison() -> None:
    if KIND == "hang":
        time.sleep(3600)
    if KIND == "memory":
        np.empty(2**60, np.uint8)
    while KIND == "spin":
        pass
    os.kill(os.getpid(), getattr(signal, KIND))
    time.sleep(3600)  # the signal comes at once, to whichever thread


def count_batches() -> int:
    """How many there were so far, in all processes of the test: no image is to blame for its number."""
    with Path(os.environ["POISON_LOG"] + ".batches").open("ab") as log:
        log.write(b".")
        return log.tell()


def poisoned(base: type[Backend]) -> type[Backend]:
    class Poisoned(base):
        def batches(self, images: np.ndarray):
            with Path(os.environ["POISON_LOG"]).open("a") as log:
                log.write(f"{len(images) if images.any() else 0}\n")
            yield from super().batches(images)

        def _submit(self, images: np.ndarray):
            if KIND == "chance":
                if images.any() and count_batches() % 5 == 0:
                    os.kill(os.getpid(), signal.SIGSEGV)
            elif (images[:, 0, 0] == MARK).all(axis=1).any() and not (KIND == "memory" and len(images) <= 8):
                poison()
            return super()._submit(images)

    return Poisoned


def load(name: str, real=backends.load) -> type[Backend]:
    return poisoned(Light if os.environ.get("POISON_NETWORK") == "light" else real(name))


backends.load = load
# The golden images would be counted as well.
golden.check = lambda backend: (None, backend(np.zeros((1, backend.bundle.height, backend.bundle.width, 3), np.uint8)))
network_worker.main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
