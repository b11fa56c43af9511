"""The classifying process: `python -m vision.models.network_worker BACKEND CONNECTION MEMORY [NICE]`, of which
CONNECTION and MEMORY are file descriptors; by NICE it gives way to others who want the processor.

It is expected to die of hostile images: its parent (`guard`) starts another. Pixels lie in memory that both share;
a header that precedes each answer is JSON, what follows are raw numbers.
"""

import ctypes
import json
import mmap
import os
import signal
import sys
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

BEGAN = time.time()

import numpy as np  # noqa: E402 - what is imported from here on takes seconds, which are counted

import strandline_contract as contract  # noqa: E402
from vision import backends  # noqa: E402
from vision.models import bundles, golden  # noqa: E402
from vision.models.steps import Steps  # noqa: E402

PR_SET_PDEATHSIG = 1


def main(backend: str, descriptor: int, memory: int, nice: int = 0) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(nice)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    with Connection(descriptor) as connection:
        try:
            backends.load(backend)  # while the parent verifies files
            _serve(connection, memory, time.time() - BEGAN)
        except EOFError:
            return  # the parent has all that it wanted
        except Exception as error:  # noqa: BLE001 - the parent raises it again
            traceback.print_exc()
            _send(connection, error=type(error).__name__, message=str(error))


def _serve(connection: Connection, memory: int, import_seconds: float) -> None:
    job = json.loads(connection.recv_bytes())
    bundle = bundles.Bundle(**job["bundle"] | {"folder": Path(job["bundle"]["folder"])})
    before = time.process_time()
    backend = backends.start(bundle, contract.Runtime.from_dict(job["runtime"]))
    probabilities, embeddings = (
        golden.check(backend)[1] if job["check"] else backend(golden.made_images(1, bundle.height, bundle.width))
    )
    steps = Steps(backend, job["sizes"])
    _send(
        connection,
        versions=backend.versions,
        batch_size=backend.batch_size,
        sizes=steps.sizes,
        classes=probabilities.shape[1],
        features=embeddings.shape[1],
        cpu_seconds=time.process_time() - before,
        import_seconds=import_seconds,
    )
    pixels: np.ndarray | None = None
    while True:
        rows = json.loads(connection.recv_bytes())["rows"]
        if pixels is None:  # by then the parent knows how many pixels it gives at once
            pixels = np.frombuffer(mmap.mmap(memory, 0, access=mmap.ACCESS_READ), np.uint8)
        images = pixels[: rows * bundle.height * bundle.width * 3].reshape(rows, bundle.height, bundle.width, 3)
        for probabilities, embeddings in steps.batches(images):
            _send(connection, rows=len(probabilities), batch_size=backend.batch_size)
            connection.send_bytes(probabilities.tobytes())
            connection.send_bytes(embeddings.tobytes())


def _send(connection: Connection, **header: Any) -> None:
    connection.send_bytes(json.dumps(header).encode())


if __name__ == "__main__":
    try:
        main(sys.argv[1], *map(int, sys.argv[2:]))
    except BrokenPipeError:  # the parent has ended
        os._exit(contract.EXIT_FAILED)
