"""The decoding process: `python -m vision.decoding.worker DESCRIPTOR`. It answers each list of files with outcomes and
pixels.

It is expected to die of hostile files: its parent (`sandbox`) starts another. Messages are JSON and raw pixels, so that
a process that hostile bytes took over cannot make its parent run anything.
"""

import hashlib
import json
import math
import os
import resource
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

import strandline_contract as contract
from vision.decoding import decode, files, pixels
from vision.decoding.refused import Refused

EXIT_OUT_OF_MEMORY = 71
READY = b"ready"


def main(descriptor: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    with Connection(descriptor) as connection:
        job = json.loads(connection.recv_bytes())
        request = contract.PackRequest.from_dict(job["request"])
        root = files.Root.open(Path(job["root"]))
        decode.configure(request.limits)
        _limit_process(request.limits)
        connection.send_bytes(READY)
        while True:
            try:
                listed = json.loads(connection.recv_bytes())
            except EOFError:
                return
            outcomes, blocks = answer(root, request, [(name.encode("latin-1"), version) for name, version in listed])
            connection.send_bytes(json.dumps([outcome.row() for outcome in outcomes]).encode())
            connection.send_bytes(blocks)


def answer(
    root: files.Root, request: contract.PackRequest, listed: list[tuple[bytes, str]]
) -> tuple[list[decode.Outcome], bytes]:
    """One outcome for each (name, version), and the pixels of the decoded ones, one after the other."""
    outcomes, blocks = [], []
    for name, version in listed:
        outcome = decode.Outcome()
        _limit_cpu(request.limits.cpu_seconds)
        try:
            blocks.append(_take(root, request, name, version, outcome))
        except Refused as refused:
            outcome.refuse(refused)
        outcomes.append(outcome)
    joined = b"".join(blocks)
    decoded = [outcome for outcome in outcomes if outcome.reason is None]
    images = np.frombuffer(joined, np.uint8).reshape(len(decoded), request.height, request.width, 3)
    luma = pixels.luma(images)
    measured = zip(pixels.statistics(images, luma).tolist(), pixels.dhash(luma).tolist(), strict=True)
    for outcome, (statistics, dhash) in zip(decoded, measured, strict=True):
        vars(outcome).update(zip(contract.IMAGE_STATISTICS, statistics, strict=True), dhash=dhash)
    return outcomes, joined


def _take(root: files.Root, request: contract.PackRequest, name: bytes, version: str, outcome: decode.Outcome) -> bytes:
    data = files.read(root, name, version, request.limits.max_bytes)
    outcome.image_id, outcome.bytes = hashlib.sha256(data).hexdigest(), len(data)
    extension = "." + name.rpartition(b".")[2].lower().decode("ascii", "replace")
    return decode.decode(data, extension, request, outcome)


def _limit_process(limits: contract.Limits) -> None:
    """Memory beyond what the interpreter and its libraries hold, no child processes, no core files.

    HEIF's decoder works in a thread of its own, and Linux counts threads as processes: allowing it lifts that limit.
    """
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    ceilings = {
        resource.RLIMIT_AS: pages * resource.getpagesize() + limits.memory_bytes,
        resource.RLIMIT_CORE: 0,
    }
    if "HEIF" not in limits.formats:
        ceilings[resource.RLIMIT_NPROC] = 0
    for kind, ceiling in ceilings.items():
        _, hard = resource.getrlimit(kind)
        lowest = ceiling if hard == resource.RLIM_INFINITY else min(ceiling, hard)
        resource.setrlimit(kind, (lowest, lowest))


def _limit_cpu(seconds: int) -> None:
    """SIGXCPU, which ends the process, once it has used this much CPU time from now on (to the next second)."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time()) + seconds, hard))


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]))
    except MemoryError:
        # Not an answer: what the file left behind in this process could make the next file fail.
        os._exit(EXIT_OUT_OF_MEMORY)
