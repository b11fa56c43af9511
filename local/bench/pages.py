"""How fast the pages are on a large ledger: `make bench-pages`. One table, which it writes into `docs/pages.md`, and
`.strandline/bench-pages.json`.

A Postgres of its own holds ten million entries; Airflow's real API server shows the pages. First one person opens each
page a few times, at rest; then many at once, each of whom opens a page, reads it for one to three seconds, and opens
another. Airflow's own health is asked every half second meanwhile. Pages alone are counted: a browser keeps pictures.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import datetime
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx

import strandline_contract as contract
from local.bench import filled_ledger, stored_results
from local.bench.bench import say
from local.stack import configuration, databases
from local.stack.processes import free_port
from local.stack.stack import Stack
from strandline import ledger, settings

PAGE = settings.REPOSITORY / "docs" / "pages.md"
MARK = "<!-- make bench-pages -->\n"
ENTRIES = 10_000_000
PEOPLE = 20
READS = (1.0, 3.0)  # seconds
ALONE = 10  # times that each page is opened at rest
HEALTH = "/api/v2/monitor/health"
HEALTH_EVERY = 0.5  # seconds
GOOD_MS = 300.0
READY_SECONDS = 120
SAMPLED = 100  # files that people look for
LOOKS = 10  # into the list of runs


@dataclasses.dataclass(frozen=True)
class Opened:
    """One answer: the kind of page, milliseconds until its last byte, its status, its bytes."""

    page: str
    ms: float
    status: int
    size: int
    address: str = ""


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of page: what people call it, how often they open it, and the address of one of them."""

    name: str
    weight: int
    address: Callable[[random.Random], str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=ENTRIES)
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--seconds", type=float, default=180, help="of the people together")
    parser.add_argument("--keep", action="store_true", help="keep the filled ledger for another time")
    arguments = parser.parse_args()
    busy = os.getloadavg()[0]
    config = place(settings.load())
    try:
        fill(config, arguments.entries)
        report = measure(config, arguments.people, arguments.seconds)
    finally:
        databases.stop(config)
        if not arguments.keep:
            shutil.rmtree(config.home, ignore_errors=True)
    report |= {"entries": arguments.entries, "busy": busy}
    contract.write_json(config.home.parent / "bench-pages.json", report)
    said = table(report)
    before, _, _ = PAGE.read_text().partition(MARK)
    PAGE.write_text(f"{before}{MARK}{said}")
    print(said)
    return 0


def place(base: settings.Settings) -> settings.Settings:
    """A home and ports of its own."""
    home = base.home / "bench-pages"
    return dataclasses.replace(
        base,
        home=home,
        landing=home / "landing",
        labels=dataclasses.replace(base.labels, folder=home / "labels"),
        local=dataclasses.replace(base.local, api_port=free_port(), postgres_port=free_port()),
    )


def fill(config: settings.Settings, entries: int) -> None:
    """Make the ledger, unless one is there from another time."""
    filled = config.home / "filled"
    if filled.exists():
        return say(f"The ledger of {config.home} is there already.")
    shutil.rmtree(config.home, ignore_errors=True)
    (config.home / "landing").mkdir(parents=True)
    say(f"Filling a ledger with {entries:,} entries ...")
    databases.start_server(config, durable=False)
    try:
        databases.provision(config)
        databases.migrate(config)
        owner = databases.url(config, ledger.OWNER)
        filled_ledger.fill(owner, entries)
        stored_results.write(config, owner)
    finally:
        databases.stop(config)
    filled.touch()


def measure(config: settings.Settings, people: int, seconds: float) -> dict[str, Any]:
    databases.start(config)
    with served(config) as server:
        kinds = pages(server)
        say("One person opens every page ...")
        alone, health = asyncio.run(server.open_alone(kinds))
        say(f"{people} people for {seconds:.0f} s ...")
        together, health_together = asyncio.run(server.open_together(kinds, people, seconds))
    rows = {kind.name: {"alone": summary(alone, kind), "together": summary(together, kind)} for kind in kinds}
    return {
        "people": people,
        "cores": len(os.sched_getaffinity(0)),
        "pages": rows | {"all": {"alone": summary(alone), "together": summary(together)}},
        "health": {"alone": summary(health), "together": summary(health_together)},
        "slowest": [dataclasses.asdict(one) for one in sorted(together, key=lambda one: -one.ms)[:50]],
    }


class Server:
    """Airflow's API server, as somebody who is signed in asks it."""

    def __init__(self, url: str, password: str) -> None:
        self.url = url
        login = httpx.post(f"{url}/auth/token", json={"username": "admin", "password": password}, trust_env=False)
        self._cookies = {"_token": login.raise_for_status().json()["access_token"]}

    def facts(self, address: str) -> dict[str, Any]:
        """What a page is made of."""
        answer = httpx.get(f"{self.url}/strandline/api/v1{address}", cookies=self._cookies, trust_env=False, timeout=60)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    async def open_alone(self, kinds: Sequence[Kind]) -> tuple[list[Opened], list[Opened]]:
        """Each page some times, one after the other; and health, as often as all of them."""
        drawn, opened, health = random.Random(1), [], []
        async with self._client() as client:
            for kind in [*kinds] * ALONE:
                opened.append(await self._open(client, kind.name, f"/strandline{kind.address(drawn)}"))
                health.append(await self._open(client, "health", HEALTH))
        return opened, health

    async def open_together(
        self, kinds: Sequence[Kind], people: int, seconds: float
    ) -> tuple[list[Opened], list[Opened]]:
        """What all of the people open in so many seconds; and health."""
        opened: list[Opened] = []
        health: list[Opened] = []
        end = time.monotonic() + seconds
        weights = [kind.weight for kind in kinds]

        async def read(person: int) -> None:
            drawn = random.Random(person)
            async with self._client() as client:
                while time.monotonic() < end:
                    await asyncio.sleep(drawn.uniform(*READS))
                    (kind,) = drawn.choices(kinds, weights)
                    opened.append(await self._open(client, kind.name, f"/strandline{kind.address(drawn)}"))

        async def look() -> None:
            async with self._client() as client:
                while time.monotonic() < end:
                    health.append(await self._open(client, "health", HEALTH))
                    await asyncio.sleep(HEALTH_EVERY)

        await asyncio.gather(look(), *map(read, range(people)))
        return opened, health

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, cookies=self._cookies, timeout=60, trust_env=False)

    async def _open(self, client: httpx.AsyncClient, page: str, address: str) -> Opened:
        started = time.perf_counter()
        answer = await client.get(address)
        return Opened(page, 1000 * (time.perf_counter() - started), answer.status_code, len(answer.content), address)


@contextlib.contextmanager
def served(config: settings.Settings) -> Iterator[Server]:
    """Airflow's API server on the ledger, once it answers."""
    stack = Stack(config)
    environment, log = stack.environment(), config.home / "api-server.log"
    airflow = [sys.executable, "-m", "airflow"]
    subprocess.run([*airflow, "db", "migrate"], env=environment, check=True, capture_output=True)
    with log.open("ab") as output:
        process = subprocess.Popen([*airflow, "api-server"], env=environment, stdout=output, stderr=output)
    try:
        _wait_until_ready(f"{stack.url}{HEALTH}", process, log)
        yield Server(stack.url, configuration.passwords(config)["admin"])
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(address, trust_env=False).is_success:
                return
        time.sleep(0.2)
    raise SystemExit(f"Airflow's API server does not answer: {log} says why")


def pages(server: Server) -> list[Kind]:
    """All pages, with what people look at: mostly what is new, and any of the months before too."""
    drawn = random.Random(0)
    newest = server.facts("/runs")["runs"]
    runs = _of_any_time(server, drawn, server.facts("/files/1")["runs"][0]["started_at"])
    last = server.facts("/files")["files"][0]["entry_id"]
    files = [server.facts(f"/files/{drawn.randint(1, last)}") for _ in range(SAMPLED)]
    images = [file["image"]["image_id"] for file in files if file["image"]]
    shown = [image["image_id"] for image in server.facts("/explore")["images"]]
    quarantine = server.facts("/quarantine")
    groups, refused = quarantine["groups"], quarantine["files"]
    labels = [row["label"] for row in server.facts("/explore")["labels"]]
    reports = [row["report_id"] for row in server.facts("/drift")["verdicts"]]
    versions = [row["version"] for row in server.facts("/models")["versions"]]
    names = [file["file"]["fname"] for file in files]
    hashes = [file["file"]["sha256"] for file in files if file["file"]["sha256"]]

    def fixed(address: str) -> Callable[[random.Random], str]:
        return lambda _: address

    def of(things: Sequence[Any], write: Callable[[Any], str]) -> Callable[[random.Random], str]:
        return lambda drawn: write(drawn.choice(things))

    def query(path: str, **parameters: Any) -> str:
        return f"{path}?{urlencode(parameters)}"

    def own(name: str) -> str:
        return name.rpartition("/")[2]

    def period(run: Mapping[str, Any]) -> str:
        return str(run["interval_start"])

    return [
        Kind("overview", 10, fixed("/")),
        Kind("runs", 6, fixed("/runs")),
        Kind("runs, older", 2, of(runs, lambda run: query("/runs", before=run["started_at"]))),
        Kind("a new run", 5, of(newest, lambda run: f"/runs/{quote(run['run_id'])}")),
        Kind("any run", 3, of(runs, lambda run: f"/runs/{quote(run['run_id'])}")),
        Kind("files, newest", 2, fixed("/files")),
        Kind("files by beginning", 4, of(names, lambda name: query("/files", q=own(name)[:8]))),
        Kind("files by end", 2, of(names, lambda name: query("/files", q=own(name)[-8:], by="end"))),
        Kind("files by path", 2, of(names, lambda name: query("/files", q=name))),
        Kind("files by hash", 2, of(hashes, lambda sha256: query("/files", q=sha256[:16]))),
        Kind("a file", 8, lambda drawn: f"/files/{drawn.randint(1, last)}"),
        Kind("explore", 6, fixed("/explore")),
        Kind("explore, a class", 4, of(labels, lambda label: query("/explore", label=label))),
        Kind("explore, contradictions", 4, of(runs, lambda run: query("/explore", agrees="no", period=period(run)))),
        Kind("explore, the surest", 2, of(runs, lambda run: query("/explore", order="sure", period=period(run)))),
        Kind("map", 2, fixed("/explore/map")),
        Kind("a new image", 3, of(shown, lambda image: f"/images/{image}")),
        Kind("any image", 1, of(images, lambda image: f"/images/{image}")),
        Kind("quarantine", 6, fixed("/quarantine")),
        Kind("quarantine, a group", 4, of(groups, lambda one: query("/quarantine", **_filters(one)))),
        Kind("quarantine, a reason", 2, of(groups, lambda one: query("/quarantine", reason=one["reason"]))),
        Kind("quarantine, a folder", 2, of(groups, lambda one: query("/quarantine", folder=one["folder"]))),
        Kind("quarantine, a rare folder", 1, fixed("/quarantine?folder=scans")),
        Kind("quarantine, a source", 1, fixed("/quarantine?source=shop")),
        Kind("quarantine, a drop", 2, of(refused + runs, lambda one: query("/quarantine", period=_drop(one)))),
        Kind("quarantine, discarded", 1, fixed("/quarantine?discarded=yes")),
        Kind("label", 5, fixed("/labels")),
        Kind("label conflicts", 1, fixed("/labels/conflicts")),
        Kind("drift", 4, fixed("/drift")),
        Kind("a drift report", 3, of(reports, lambda report: f"/drift/{report}")),
        Kind("images of a report", 1, of(reports, lambda report: f"/drift/{report}/images")),
        Kind("models", 3, fixed("/models")),
        Kind("a model", 2, of(versions, lambda version: f"/models/{version}")),
        Kind("two models compared", 1, fixed(query("/models/compare", one=versions[0], other=versions[1]))),
        Kind("serving", 2, fixed("/serving")),
    ]


def _of_any_time(server: Server, drawn: random.Random, first: str) -> list[dict[str, Any]]:
    """Runs since the first moment, some from each of a few days."""
    begin, now = datetime.datetime.fromisoformat(first), datetime.datetime.now(datetime.UTC)
    days = [begin + drawn.random() * (now - begin) for _ in range(LOOKS)]
    return [run for day in days for run in server.facts(f"/runs?{urlencode({'before': day.isoformat()})}")["runs"]]


def _filters(group: Mapping[str, Any]) -> dict[str, str]:
    return {name: group[name] for name in ("reason", "folder", "source")}


def _drop(one: Mapping[str, Any]) -> str:
    return str(one.get("drop_at") or one["interval_start"])


def summary(opened: Sequence[Opened], kind: Kind | None = None) -> dict[str, float]:
    """Of a kind of page, or of all: how many were opened, how many of these failed, milliseconds and bytes."""
    chosen = [one for one in opened if kind is None or one.page == kind.name]
    if not chosen:
        return {"count": 0}
    latencies = sorted(one.ms for one in chosen)
    p50, p95 = (latencies[min(len(latencies) - 1, int(part * len(latencies)))] for part in (0.5, 0.95))
    failed = sum(one.status != httpx.codes.OK for one in chosen)
    size = sum(one.size for one in chosen) / len(chosen)
    return {"count": len(chosen), "failed": failed, "p50": p50, "p95": p95, "max": latencies[-1], "bytes": size}


def table(report: Mapping[str, Any]) -> str:
    people = report["people"]
    lines = [
        f"Written by `make bench-pages` on {report['cores']} cores, which Postgres, Airflow's API server and the people"
        f" share; the machine's load was {report['busy']:.1f} before. {report['entries']:,} entries, half of them"
        f" predicted, a tenth refused. Milliseconds until the last byte of a page, p50 / p95 / most; alone, each page"
        f" {ALONE} times.",
        "",
        f"| page | alone | {people} people | opened | kB |",
        "|---|---|---|---|---|",
    ]
    rows = {**report["pages"], "Airflow's health": report["health"]}
    for name, row in rows.items():
        both, size = row["together"], row["alone"].get("bytes", 0) / 1000
        lines.append(f"| {name} | {cell(row['alone'])} | {cell(both)} | {both['count']} | {size:,.0f} |")
    return "\n".join(lines) + "\n"


def cell(row: Mapping[str, float]) -> str:
    if not row["count"]:
        return ""
    failed = f", {row['failed']} failed" if row["failed"] else ""
    return f"{row['p50']:.0f} / {row['p95']:.0f} / {row['max']:.0f}{failed}"


if __name__ == "__main__":
    sys.exit(main())
