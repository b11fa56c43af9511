"""A serving process as people start it, and what its callers and its neighbours do."""

import datetime
import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from conftest import PROJECT

import strandline_contract as contract

MODELS = PROJECT.parents[1] / "models"
CHAMPION = contract.BundleRef(
    "cifar_resnet20_v1", contract.sha256_file(MODELS / "cifar_resnet20_v1" / contract.BUNDLE_MANIFEST)
)


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def json(self):
        return json.loads(self.content)


class Served:
    """`lines` are those of its spool; `process` may be killed."""

    def __init__(self, store: Path, folder: Path, *options: str) -> None:
        self.store, self.folder = store, folder
        self.name = f"s-{uuid.uuid4().hex[:8]}"
        arguments = ["--store", str(store), "--folder", str(folder), "--port", "0", "--name", self.name, *options]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "vision.serving", *arguments], cwd=PROJECT, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout
        self.port = int(self.process.stdout.readline().split()[1].rpartition(":")[2])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def classify(self, *files: tuple[str, bytes], token: str | None = None) -> Answer:
        """One file as it is, or as a form if it has a name, or if there are several."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        if len(files) == 1 and not files[0][0]:
            return self.ask("POST", "/classify", files[0][1], **headers)
        return self.ask("POST", "/classify", form(files), content_type="multipart/form-data; boundary=edge", **headers)

    def deploy(self, champion: contract.BundleRef = CHAMPION, anonymous: float | None = 1e6, **fields) -> None:
        deploy(self.folder, champion, anonymous, **fields)

    def ready(self) -> dict:
        return self.ask("GET", "/v2/health/ready").json

    def wait_ready(self, version: str = CHAMPION.version) -> None:
        wait_for(lambda: self.ready()["champion"] == version, f"{version} is not the champion")

    def metric(self, name: str) -> float:
        lines = self.ask("GET", "/metrics").content.decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def lines(self) -> list[dict]:
        segments = sorted((self.folder / contract.SPOOLS_FOLDER / self.name).glob("*.jsonl"))
        return [json.loads(line) for segment in segments for line in segment.read_bytes().splitlines(keepends=True)]

    def children(self, module: str) -> list[int]:
        """Its processes of this module."""
        found = []
        for task in Path(f"/proc/{self.process.pid}/task").glob("*/children"):
            pids = map(int, task.read_text().split())
            found += [pid for pid in pids if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]
        return found

    def strike(self, module: str) -> None:
        """Kill these processes of it, and wait until they are gone."""
        for pid in self.children(module):
            self.end(pid)

    def end(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: _is_over(pid), f"{pid} does not end")


def _is_over(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except FileNotFoundError:
        return True


@contextmanager
def serving(store: Path, folder: Path, *options: str, **deployment) -> Iterator[Served]:
    """A process that answers."""
    folder.mkdir(parents=True, exist_ok=True)
    deploy(folder, **deployment)
    served = Served(store, folder, *options)
    try:
        served.wait_ready()
        yield served
    finally:
        served.process.kill()
        served.process.wait()


def deploy(
    folder: Path,
    champion: contract.BundleRef = CHAMPION,
    anonymous: float | None = 1e6,
    read_at: datetime.datetime | None = None,
    **fields,
) -> None:
    read_at = read_at or datetime.datetime.now(datetime.UTC)
    said = contract.Deployment(read_at.isoformat(), champion, anonymous_requests_per_second=anonymous, **fields)
    contract.write_json(folder / contract.DEPLOYMENT_FILE, said.to_dict())


def consumer(name: str, token: str, rate: float = 1e6, version: str | None = None) -> contract.Consumer:
    return contract.Consumer(name, hashlib.sha256(token.encode()).hexdigest(), rate, version)


def named_bundles(store: Path, *names: str) -> Path:
    """A store with the champion, and with bundles that differ from it by their name."""
    manifest = json.loads((MODELS / CHAMPION.path / contract.BUNDLE_MANIFEST).read_bytes())
    for name in names:
        folder = store / name
        folder.mkdir(parents=True)
        for path in (MODELS / CHAMPION.path).iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        contract.write_json(folder / contract.BUNDLE_MANIFEST, manifest | {"name": name})
    (store / CHAMPION.path).symlink_to(MODELS / CHAMPION.path)
    return store


def ref(store: Path, name: str) -> contract.BundleRef:
    return contract.BundleRef(name, contract.sha256_file(store / name / contract.BUNDLE_MANIFEST))


def form(files: tuple[tuple[str, bytes], ...]) -> bytes:
    parts = [
        b'--edge\r\ncontent-disposition: form-data; name="file"; filename="%s"\r\n\r\n%s\r\n' % (name.encode(), content)
        for name, content in files
    ]
    return b"".join(parts) + b"--edge--\r\n"


def wait_for(condition, what: str):
    """The first true value of `condition()`."""
    deadline = time.monotonic() + 120
    while not (value := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
    return value
