"""Applications that ask a running Strandline over HTTP, and the versions that answer them."""

import concurrent.futures
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
from running_stack import Strandline

import strandline_contract as contract
from strandline import settings
from strandline.models import registry

RATE = 200  # requests a second, while models change
SENDERS = 16
USERS = 41  # of an application


def on_record(strandline: Strandline, predictions: set[str]) -> list[dict[str, Any]]:
    """The ledger's rows of answers, once all have one."""
    query = "SELECT * FROM reporting.served_results WHERE prediction_id = ANY (%(predictions)s)"
    wait_for(lambda: len(strandline.rows(query, predictions=list(predictions))) == len(predictions))
    return strandline.rows(query, predictions=list(predictions))


def consumer(strandline: Strandline, *arguments: str) -> str:
    """What the verb of this name prints."""
    command = [sys.executable, "-m", "local.stack.consumer", *arguments]
    environment = strandline.stack.environment()
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


class Load:
    """So many requests a second, for one user after the other, whatever becomes of them. `answers`: of each that was
    answered; `lost`: how many were not.
    """

    def __init__(self, url: str, token: str, pictures: list[Path], rate: float = RATE) -> None:
        self.answers: list[httpx.Response] = []
        self.lost = self.sent = 0
        self._url, self._contents, self._rate = url, [path.read_bytes() for path in pictures], rate
        self._client = httpx.Client(headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=60)
        self._end = threading.Event()
        wait_for(self._is_known)

    def _is_known(self) -> bool:
        """Whether the token has come to the service, which takes a moment; the answer that says so is one of all."""
        said = self._client.post(f"{self._url}/classify", content=self._contents[0])
        if said.status_code == httpx.codes.UNAUTHORIZED:
            return False
        self.answers.append(said)
        self.sent += 1
        return True

    def ask(self, number: int) -> None:
        try:
            content, user = self._contents[number % len(self._contents)], {"Strandline-Key": f"user {number % USERS}"}
            self.answers.append(self._client.post(f"{self._url}/classify", content=content, headers=user))
        except httpx.TransportError:
            self.lost += 1

    @contextmanager
    def running(self) -> Iterator[None]:
        with closing(self._client), concurrent.futures.ThreadPoolExecutor(SENDERS) as senders:
            clock = threading.Thread(target=self._send, args=(senders,))
            clock.start()
            try:
                yield
            finally:
                self._end.set()
                clock.join()

    def _send(self, senders: concurrent.futures.Executor) -> None:
        begun = time.monotonic()
        while not self._end.is_set():
            senders.submit(self.ask, self.sent)
            self.sent += 1
            self._end.wait(max(0.0, begun + self.sent / self._rate - time.monotonic()))

    def wait(self, more: int) -> None:
        """For so many further answers."""
        before = len(self.answers)
        wait_for(lambda: len(self.answers) >= before + more)


def champion(strandline: Strandline) -> str:
    return str(strandline.rows("SELECT version FROM champions WHERE period @> now()")[0]["version"])


def like_the_champion(name: str, folder: Path, graph: bytes | None = None) -> str:
    """A version whose bundle is the first champion's, under another name, with another network if one is given."""
    bundle = folder / "bundle"
    bundle.mkdir()
    original = settings.REPOSITORY / "models" / "cifar_resnet20_v1"
    for path in original.iterdir():
        (bundle / path.name).write_bytes(path.read_bytes())
    manifest = json.loads((original / contract.BUNDLE_MANIFEST).read_bytes())
    if graph is not None:
        (bundle / contract.GRAPH_FILE).write_bytes(graph)
        manifest["files"][contract.GRAPH_FILE] = {"sha256": contract.sha256_file(bundle / contract.GRAPH_FILE)}
    contract.write_json(bundle / contract.BUNDLE_MANIFEST, manifest | {"name": name})
    return registry.register(bundle, "tester")


def wait_for(condition: Callable[[], Any], seconds: float = 180) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found
