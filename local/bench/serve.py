"""How fast pictures are answered over HTTP, beside MLServer and a plain FastAPI server with ONNX Runtime:
`make bench-serve`. One table, which it writes into `docs/serving.md`, and `.strandline/bench-serve.json`.

All have the same network and the same files, which are CIFAR-sized JPEGs, and get the same load, open loop, at the same
rates in turn; one that has fallen behind at two rates gets no higher one. Then each gets more than it can answer: how
many it does, and what an answer costs of CPU time, which tells something on a busy machine too. Nothing else should run
meanwhile.

They do not do the same. MLServer and FastAPI decode in their own process, compute and answer. Strandline decodes in a
process that may die of a picture, computes in another, keeps the picture, and has the answer on record before it gives
it. Run in the vision environment, on as many cores as there are; the load takes its part of them.
"""

import argparse
import asyncio
import base64
import contextlib
import dataclasses
import datetime
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import strandline_contract as contract
from local.bench.open_loop import Load, Measured

REPOSITORY = Path(__file__).resolve().parents[2]
PEERS = REPOSITORY / ".strandline" / "venvs" / "serving-peers" / "bin"
BUNDLE = REPOSITORY / "models" / "cifar_resnet20_v1"
PAGE = REPOSITORY / "docs" / "serving.md"
REPORT = REPOSITORY / ".strandline" / "bench-serve.json"
MARK = "<!-- make bench-serve -->\n"
RATES = (50, 100, 150, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1200, 1400)
GOOD_MS = 50.0  # p99
BEHIND = 2  # rates at which a server may fail before it gets no higher one
CONNECTIONS = 64
TOO_MUCH = 3000.0  # requests a second
BURST = 1200  # requests
FILES = 64
MLSERVER = {"debug": False, "parallel_workers": 0, "http_port": 8193, "grpc_port": 8194, "metrics_port": 8195}
OURS, OURS_V2, FASTAPI, MLSERVER_V2 = "strandline /classify", "strandline v2", "FastAPI /classify", "MLServer v2"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="requests a second, growing")
    parser.add_argument("--seconds", type=float, default=5, help="of each rate")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    busy = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, started(Path(folder)) as processes:
        measured = compare(arguments.rates, arguments.seconds, arguments.rounds)
        saturated = saturate(processes, arguments.rounds)
    rows = {name: [dataclasses.asdict(one) for one in each] for name, each in measured.items()}
    contract.write_json(REPORT, {"busy": busy, "cores": cores(), "measured": rows, "saturated": saturated})
    said = table(measured, saturated, busy)
    before, _, _ = PAGE.read_text().partition(MARK)
    PAGE.write_text(f"{before}{MARK}{said}")
    print(said)
    return 0


@contextlib.contextmanager
def started(folder: Path) -> Iterator[dict[str, int]]:
    """All three servers, once each answers: their processes by what is asked of them."""
    environment = os.environ | {"BUNDLE": str(BUNDLE), "PYTHONPATH": str(REPOSITORY)}
    contract.write_json(
        folder / "model-settings.json", {"name": "champion", "implementation": "local.bench.peer_mlserver.Runtime"}
    )
    contract.write_json(folder / "settings.json", MLSERVER)
    deploy(folder)
    ours = [sys.executable, "-m", "vision.serving", "--store", str(BUNDLE.parent), "--folder", str(folder)]
    fastapi = [
        str(PEERS / "python"),
        "-m",
        "uvicorn",
        "local.bench.peer_fastapi:app",
        "--port",
        "8192",
        "--no-access-log",
    ]
    with (
        running([*ours, "--port", "8191"], dict(os.environ), "http://localhost:8191/v2/health/ready") as strandline,
        running(fastapi, environment, "http://localhost:8192/docs") as plain,
        running(
            [str(PEERS / "mlserver"), "start", str(folder)],
            environment,
            "http://localhost:8193/v2/models/champion/ready",
        ) as mlserver,
    ):
        yield {OURS: strandline, FASTAPI: plain, OURS_V2: strandline, MLSERVER_V2: mlserver}


def deploy(folder: Path) -> None:
    """The champion, for everybody."""
    champion = contract.BundleRef(BUNDLE.name, contract.sha256_file(BUNDLE / contract.BUNDLE_MANIFEST))
    now = datetime.datetime.now(datetime.UTC).isoformat()
    deployment = contract.Deployment(now, champion, anonymous_requests_per_second=1e9)
    contract.write_json(folder / contract.DEPLOYMENT_FILE, deployment.to_dict())


@contextlib.contextmanager
def running(command: list[str], environment: dict[str, str], ready: str) -> Iterator[int]:
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not answers(ready):
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(command)} ended by itself: run it alone to see why")
            time.sleep(0.2)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def loads() -> dict[str, Load]:
    """By server, and by the form in which it is asked."""
    files = [photo(seed) for seed in range(FILES)]
    tensors = [json.dumps({"inputs": [tensor(file)]}).encode() for file in files]
    infer, json_type = "/v2/models/champion/infer", "application/json"
    return {
        OURS: Load(8191, "/classify", "image/jpeg", files),
        FASTAPI: Load(8192, "/classify", "image/jpeg", files),
        OURS_V2: Load(8191, infer, json_type, tensors),
        MLSERVER_V2: Load(8193, infer, json_type, tensors),
    }


def photo(seed: int) -> bytes:
    """A JPEG of 32 x 32, no two alike."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((32, 32), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def tensor(file: bytes) -> dict[str, Any]:
    data = base64.b64encode(file).decode()
    return {
        "name": "image",
        "datatype": "BYTES",
        "shape": [1],
        "parameters": {"content_type": "base64"},
        "data": [data],
    }


def compare(rates: list[float], seconds: float, rounds: int) -> dict[str, list[Measured]]:
    """Of each, the medians of the rounds at each rate."""
    found: dict[str, list[Measured]] = {}
    asked = loads()
    for load in asked.values():
        asyncio.run(load.run(rates[0], seconds, CONNECTIONS))  # to warm up
    for rate in rates:
        behind = {name for name, rows in found.items() if sum(map(is_behind, rows)) >= BEHIND}
        for name in asked.keys() - behind:
            found.setdefault(name, [])
        turns: dict[str, list[Measured]] = {name: [] for name in asked if name not in behind}
        for _ in range(rounds):
            for name, measured in turns.items():
                measured.append(asyncio.run(asked[name].run(rate, seconds, CONNECTIONS)))
        for name, measured in turns.items():
            found[name].append(median(measured))
            print(f"{name}: {found[name][-1]}", file=sys.stderr, flush=True)
    return {name: found[name] for name in asked}


def saturate(processes: dict[str, int], rounds: int) -> dict[str, dict[str, float]]:
    """Answers a second, and CPU ms of each, when more is asked than can be answered: medians of the rounds."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in processes}
    asked = loads()
    for _ in range(rounds):
        for name, process in processes.items():
            before = cpu_seconds(process)
            measured = asyncio.run(asked[name].run(TOO_MUCH, BURST / TOO_MUCH, CONNECTIONS))
            found[name].append((measured.answered, 1000 * (cpu_seconds(process) - before) / BURST))
    medians = {name: [statistics.median(values) for values in zip(*each, strict=True)] for name, each in found.items()}
    return {name: {"answered": answered, "cpu_ms": cpu} for name, (answered, cpu) in medians.items()}


def cpu_seconds(process: int) -> float:
    """Of a process and its descendants."""
    with contextlib.suppress(FileNotFoundError):  # it has ended
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        tasks = Path(f"/proc/{process}/task").glob("*/children")
        children = [int(child) for task in tasks for child in task.read_text().split()]
        own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return own + sum(map(cpu_seconds, children))
    return 0.0


def median(measured: list[Measured]) -> Measured:
    columns = zip(*map(dataclasses.astuple, measured), strict=True)
    rate, answered, failed, p50, p95, p99 = map(statistics.median, columns)
    return Measured(rate, answered, round(failed), p50, p95, p99)


def is_behind(measured: Measured) -> bool:
    return measured.p99 >= GOOD_MS or measured.failed > 0


def largest(measured: list[Measured]) -> float:
    """The rate up to which none fell behind."""
    best = 0.0
    for one in measured:
        if is_behind(one):
            break
        best = one.rate
    return best


def cores() -> int:
    return len(os.sched_getaffinity(0))


def table(measured: dict[str, list[Measured]], saturated: dict[str, dict[str, float]], busy: float) -> str:
    rates = sorted({one.rate for rows in measured.values() for one in rows})
    by_rate = {name: {one.rate: one for one in rows} for name, rows in measured.items()}
    lines = [
        f"Written by `make bench-serve`, on {cores()} cores that the load generator shares; the machine's load was"
        f" {busy:.1f} before. JPEGs of 32 x 32 to the first champion, by ONNX Runtime in MLServer and FastAPI, by"
        " OpenVINO in Strandline. Latencies p50 / p95 / p99 in ms, from when a request was due, at fixed rates.",
        "",
        "| requests/s | " + " | ".join(measured) + " |",
        "|---|" + "---|" * len(measured),
        *(f"| {rate:g} | " + " | ".join(cell(rows.get(rate)) for rows in by_rate.values()) + " |" for rate in rates),
        "| most at p99 < 50 ms | " + " | ".join(f"**{largest(rows):g}**" for rows in measured.values()) + " |",
        "| answers/s when more is asked | "
        + " | ".join(f"{saturated[name]['answered']:.0f}" for name in measured)
        + " |",
        "| CPU ms of each then | " + " | ".join(f"{saturated[name]['cpu_ms']:.1f}" for name in measured) + " |",
    ]
    return "\n".join(lines) + "\n"


def cell(measured: Measured | None) -> str:
    if measured is None:
        return ""
    failed = f", {measured.failed} failed" if measured.failed else ""
    return f"{measured.p50:.0f} / {measured.p95:.0f} / {measured.p99:.0f}{failed}"


if __name__ == "__main__":
    sys.exit(main())
