"""The decoding process: `python -m vision.decoding.worker DESCRIPTOR`. It answers each list of files with outcomes and
pixels: of files below a root, which it reads itself, or, if it is given no root, of bytes that come with the list. If
it is to make previews, it answers the name of one file with a size and pixels, or without.

It is expected to die of hostile files: its parent (`sandbox`) starts another. Messages are JSON and raw pixels, so that
a process that hostile bytes took over cannot make its parent run anything.
"""

import dataclasses
import hashlib
import json
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

import strandline_contract as contract
from vision.decoding import decode, fetched, files, pixels, preview
from vision.decoding.refused import Refused

EXIT_OUT_OF_MEMORY = 71
READY = b"ready"


def main(descriptor: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    with Connection(descriptor) as connection:
        job = json.loads(connection.recv_bytes())
        request = contract.PackRequest.from_dict(job["request"])
        root = files.Root.open(Path(job["root"])) if job["root"] is not None else None
        if job["previews"]:
            request = dataclasses.replace(request, limits=preview.configure(request.limits))
        else:
            decode.configure(request.limits)
        _limit_process(request.limits)
        connection.send_bytes(READY)
        while True:
            try:
                listed = json.loads(connection.recv_bytes())
                if root and job["previews"]:
                    _show(connection, root, request.limits, *listed)
                    continue
                if root:
                    named = [files.File(name.encode("latin-1"), *more) for name, *more in listed]
                    outcomes, blocks = answer(root, request, named)
                else:
                    outcomes, blocks = _received(connection, request, listed)
            except EOFError:
                return
            rows = [outcome.row() if root else vars(outcome) for outcome in outcomes]
            connection.send_bytes(json.dumps(rows).encode())
            connection.send_bytes(blocks)


def answer(
    root: files.Root, request: contract.PackRequest, listed: list[files.File]
) -> tuple[list[decode.Outcome], bytes]:
    """One outcome for each, and the pixels of the decoded ones, one after the other."""
    outcomes, blocks = _tried([partial(_take, root, request, file) for file in listed], request.limits)
    _measure([outcome for outcome in outcomes if outcome.reason is None], blocks, request)
    return outcomes, blocks


def _received(
    connection: Connection, request: contract.PackRequest, listed: dict[str, Any]
) -> tuple[list[decode.Outcome], bytes]:
    """As `answer`, for bytes that come behind the list, to be resized as it says. Nothing but pixels is measured."""
    request = dataclasses.replace(request, **listed["rule"])
    data = connection.recv_bytes()
    takes, start = [], 0
    for extension, size in listed["files"]:
        takes.append(partial(_decode, data[start : start + size], extension, request))
        start += size
    return _tried(takes, request.limits)


def _show(connection: Connection, root: files.Root, limits: contract.Limits, name: str, version: str) -> None:
    """Answer with the size of a file's preview, and its pixels; with nothing if it has none."""
    _limit_cpu(limits.cpu_seconds)
    try:
        shown = preview.preview(files.read(root, name.encode("latin-1"), version, limits.max_bytes), limits)
    except Refused:  # it is another file by now
        shown = None
    connection.send_bytes(json.dumps(shown.size if shown else None).encode())
    connection.send_bytes(shown.tobytes() if shown else b"")


def _tried(
    takes: Sequence[Callable[[decode.Outcome], bytes]], limits: contract.Limits
) -> tuple[list[decode.Outcome], bytes]:
    """What comes of each, under its limit of CPU time."""
    outcomes, blocks = [], []
    for take in takes:
        outcome = decode.Outcome()
        _limit_cpu(limits.cpu_seconds)
        try:
            blocks.append(take(outcome))
        except Refused as refused:
            outcome.refuse(refused)
        outcomes.append(outcome)
    return outcomes, b"".join(blocks)


def _measure(decoded: list[decode.Outcome], joined: bytes, request: contract.PackRequest) -> None:
    images = np.frombuffer(joined, np.uint8).reshape(len(decoded), request.height, request.width, 3)
    luma = pixels.luma(images)
    measured = zip(pixels.statistics(images, luma).tolist(), pixels.dhash(luma).tolist(), strict=True)
    for outcome, (statistics, dhash) in zip(decoded, measured, strict=True):
        vars(outcome).update(zip(contract.IMAGE_STATISTICS, statistics, strict=True), dhash=dhash)


def _take(root: files.Root, request: contract.PackRequest, file: files.File, outcome: decode.Outcome) -> bytes:
    data = files.read(root, file.name, file.version, request.limits.max_bytes)
    if request.root == "fetched":
        fetched.check(file.name, data)
    return _decode(data, file.extension, request, outcome)


def _decode(data: bytes, extension: str, request: contract.PackRequest, outcome: decode.Outcome) -> bytes:
    outcome.image_id, outcome.bytes = hashlib.sha256(data).hexdigest(), len(data)
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
